from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest

from patter.audio.g711 import MULAW_TO_FLOAT
from patter.environment import Environment
from patter.errors import ConfigError, InternalError
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext
from patter_silero.config import SileroConfig
from patter_silero.model import SileroModel
from patter_silero.session import BUNDLED, CONTEXT, WINDOW, SileroSession


def rows(rate, count, seed=3):
    random = np.random.default_rng(seed)
    windows = random.uniform(-1, 1, (count, CONTEXT[rate] + WINDOW[rate])) * random.uniform(0, 1, (count, 1))
    windows[::5] = 0
    return windows.astype(np.float32), random.uniform(-1, 1, (count, 2, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def session():
    return SileroSession()


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_row_is_judged_as_if_it_were_alone(session, rate):
    windows, states = rows(rate, 64)
    alone = [session.infer(windows[i : i + 1], states[i : i + 1], rate) for i in range(64)]
    for size in range(2, 65):
        probabilities, new_states = session.infer(windows[-size:], states[-size:], rate)
        assert probabilities.tolist() == [one[0][0] for one in alone[-size:]]
        assert np.array_equal(new_states, np.concatenate([one[1] for one in alone[-size:]]))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_judging_one_by_one_answers_the_same_as_a_batch(session, rate, monkeypatch):
    windows, states = rows(rate, 9)
    together = session.infer(windows, states, rate)
    monkeypatch.setattr(session, "_batches", False)
    apart = session.infer(windows, states, rate)
    assert np.array_equal(together[0], apart[0])
    assert np.array_equal(together[1], apart[1])


def test_a_processor_that_mixes_rows_is_noticed(monkeypatch, caplog):
    genuine = SileroSession._run

    def mixing(self, windows, states, rate):
        probabilities, new_states = genuine(self, windows, states, rate)
        return probabilities * np.float32(1 - 1e-6 * (len(windows) == 7)), new_states

    monkeypatch.setattr(SileroSession, "_run", mixing)
    assert not SileroSession()._batches
    assert "one by one" in caplog.text


@pytest.mark.parametrize("rate", [8000, 16000])
def test_takes_the_rate_as_an_int64_scalar(session, rate, monkeypatch):
    fed = []

    class Watched:
        def __init__(self, genuine):
            self.run = lambda names, feed: fed.append(feed) or genuine.run(names, feed)

    monkeypatch.setattr(session, "_session", Watched(session._session))
    session.infer(*rows(rate, 2), rate)
    assert (fed[0]["sr"].dtype, fed[0]["sr"].shape, int(fed[0]["sr"])) == (np.int64, (), rate)
    assert fed[0]["state"].shape == (2, 2, 128)


@pytest.mark.parametrize("rate", [0, 11025, 22050, 48000])
def test_another_rate_is_refused_before_the_model(session, make_model, rate):
    windows, states = rows(8000, 1)
    model = make_model()
    for ask in (
        lambda: session.infer(windows, states, rate),
        lambda: model.window_samples(rate),
        lambda: model.context_samples(rate),
        lambda: model.detector(rate),
    ):
        with pytest.raises(ConfigError, match=f"8000 or 16000 Hz, not at {rate} Hz"):
            ask()


def test_lengths_that_the_graph_would_take_in_silence_are_refused(session):
    windows, states = rows(8000, 2)
    for wrong in (windows[:, :256], windows[:, :160], windows.astype(np.float64), windows[0]):
        with pytest.raises(InternalError, match="windows"):
            session.infer(wrong, states, 8000)
    with pytest.raises(InternalError, match="states"):
        session.infer(windows, states[:1], 8000)
    with pytest.raises(InternalError, match="windows"):
        session.infer(windows, states, 16000)


def test_missing_onnxruntime_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="pip install onnxruntime"):
        SileroModel(SileroConfig(), ProviderContext(Environment(), SharedObjectPool()))


def test_a_missing_model_file_is_named_at_construction(make_model, tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.onnx does not exist: correct the setting `weights`"):
        make_model(weights=tmp_path / "gone.onnx")


def test_a_file_that_is_no_model_is_named_at_construction(make_model, tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ConfigError, match=r"cannot load the Silero model file .*text\.onnx"):
        make_model(weights=tmp_path / "text.onnx")


def test_the_model_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(
        onnxruntime.InferenceSession,
        "get_inputs",
        lambda _: [type("Tensor", (), {"name": name}) for name in "hcx"],
    )
    with pytest.raises(ConfigError, match=r"version 5 or 6.*its inputs are c, h, x"):
        SileroSession(BUNDLED)


def test_closing_is_idempotent_and_final():
    session = SileroSession()
    session.close()
    session.close()
    with pytest.raises(InternalError, match="closed"):
        session.infer(*rows(8000, 1), 8000)


def test_closing_a_model_closes_nothing_that_others_use(make_model):
    first, second = make_model(), make_model(activation=0.8)
    first.close()
    first.close()
    windows, _ = rows(8000, 1)
    assert second.infer(windows, np.zeros((1, *second.state_shape), np.float32), 8000)[0].shape == (1,)


def test_the_memory_is_zeroed_after_two_quiet_seconds_and_only_then(make_model):
    model = make_model()
    windows = np.zeros((2, CONTEXT[8000] + WINDOW[8000]), np.float32)
    states = np.zeros((2, *model.state_shape), np.float32)
    zeroed = []
    for number in range(1, 140):
        # the second call is never quiet: its counter is put back, as a window with speech does
        states[1, -1] = 0
        probabilities, states = model.infer(windows, states, 8000)
        assert probabilities.max() < 0.1
        assert states[1, :-1].any()
        if not states[0].any():
            zeroed.append(number)
    assert zeroed == [62, 124]


def test_speech_starts_the_count_of_quiet_windows_again(make_model, speech):
    model = make_model()
    samples = MULAW_TO_FLOAT[np.frombuffer(speech("stop"), np.uint8)]
    states = np.zeros((1, *model.state_shape), np.float32)
    counts = []
    for start in range(0, len(samples) - 288, 256):
        probabilities, states = model.infer(samples[None, start : start + 288], states, 8000)
        counts.append((probabilities[0] >= 0.1, states[0, -1]))
    assert all(count == 0 for spoken, count in counts if spoken)
    assert sum(spoken for spoken, _ in counts) > 5


def test_states_of_another_shape_are_refused(make_model):
    with pytest.raises(InternalError, match="states"):
        make_model().infer(*rows(8000, 1), 8000)
