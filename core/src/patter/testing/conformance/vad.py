"""What a voice activity detector must do, in either form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from patter.providers.vad import VAD, VADDetector, VADEvent, VADModel
from patter.records import ProviderKind, VADRecord
from patter.testing.conformance.common import Conformance
from patter.testing.conformance.subject import Server, Subject, closed

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: rates that every detector takes (SP-13)
RATES = (8000, 16000)


class VADConformance(Conformance):
    """Checks of `patter.providers.vad`: of `VAD`, or of `VADModel` where the record says `batch`."""

    kind: ClassVar[ProviderKind] = "vad"

    def speech(self, rate: int) -> NDArray[Any] | None:
        """A second or more of clear speech, int16; None where there is none to test with."""
        return None

    async def work(self, provider: Any) -> None:
        """Judge one second of silence."""
        assert list(self.judge(provider, np.zeros(8000, np.int16), 8000)) == []

    def judge(self, provider: Any, pcm: NDArray[Any], rate: int) -> Iterator[VADEvent]:
        """The events of some audio, through the form that the provider has."""
        if isinstance(provider, VADModel):
            yield from _judge_batched(provider, pcm, rate)
            return
        step = rate // 50
        for start in range(0, len(pcm) - step + 1, step):
            event = provider.process_frame(pcm[start : start + step], rate)
            if event is not None:
                yield event

    def test_two_of_them_share_no_state(self, server: Server) -> None:
        """A batched one has no state at all; of the other two give the same events side by side as alone."""

        async def check(subject: Subject) -> None:
            first, second = subject.make(), subject.make()
            noise = _noise(8000, seconds=1.0)
            alone = list(self.judge(subject.make(), noise, 8000))
            assert list(self.judge(first, noise, 8000)) == list(self.judge(second, noise, 8000)) == alone
            await closed(first)
            await closed(second)

        self.run(server, check)

    def test_it_has_the_form_that_its_record_claims(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            assert isinstance(subject.record, VADRecord)
            provider = subject.make()
            assert isinstance(provider, VADModel if subject.record.batch else VAD)
            if isinstance(provider, VADModel):
                assert provider.rates
                assert isinstance(provider.detector(provider.rates[0]), VADDetector)
            await closed(provider)

        self.run(server, check)

    @pytest.mark.parametrize("rate", RATES)
    def test_silence_is_not_speech(self, server: Server, rate: int) -> None:
        async def check(subject: Subject) -> None:
            provider = subject.make()
            if isinstance(provider, VAD) or rate in provider.rates:
                silence = np.zeros(rate * 10, np.int16)
                assert [
                    event for event in self.judge(provider, silence, rate) if event.kind == "speech_start"
                ] == []
            await closed(provider)

        self.run(server, check)

    @pytest.mark.parametrize("rate", RATES)
    def test_speech_begins_and_ends_once(self, server: Server, rate: int) -> None:
        speech = self.speech(rate)
        if speech is None:
            pytest.skip("speech() gives none")
        pause = np.zeros(rate * 2, np.int16)

        async def check(subject: Subject) -> None:
            provider = subject.make()
            events = list(self.judge(provider, np.concatenate([pause, speech, pause]), rate))
            edges = [event.kind for event in events if event.kind != "silence"]
            assert edges == ["speech_start", "speech_end"]
            start, end = (event for event in events if event.kind != "silence")
            assert 2 * rate - rate // 10 <= start.sample_position <= 2 * rate + rate
            assert start.sample_position < end.sample_position <= 2 * rate + len(speech) + rate // 2
            await closed(provider)

        self.run(server, check)

    def test_positions_grow_and_the_same_audio_gives_the_same_events(self, server: Server) -> None:
        audio = np.concatenate([_noise(8000, seconds=0.7), np.zeros(8000, np.int16)] * 3)

        async def check(subject: Subject) -> None:
            provider = subject.make()
            events = list(self.judge(provider, audio, 8000))
            positions = [event.sample_position for event in events]
            assert positions == sorted(positions)
            assert list(self.judge(subject.make(), audio, 8000)) == events
            if isinstance(provider, VAD):
                provider.reset()
                assert list(self.judge(provider, audio, 8000)) == events
            await closed(provider)

        self.run(server, check)

    def test_a_row_of_a_batch_is_judged_as_if_it_were_alone(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            model = subject.make()
            if not isinstance(model, VADModel):
                pytest.skip("has the simple form")
            rate = model.rates[0]
            width = model.context_samples(rate) + model.window_samples(rate)
            windows = np.random.default_rng(7).uniform(-0.5, 0.5, (8, width)).astype(np.float32)
            states = np.zeros((8, *model.state_shape), np.float32)
            together, new_states = model.infer(windows, states, rate)
            assert together.shape == (8,)
            assert new_states.shape == states.shape
            for row in range(8):
                alone, state = model.infer(windows[row : row + 1], states[row : row + 1], rate)
                assert alone[0] == together[row]
                assert np.array_equal(state[0], new_states[row])
            await closed(model)

        self.run(server, check)


def _noise(rate: int, *, seconds: float) -> NDArray[Any]:
    return np.random.default_rng(3).integers(-9000, 9000, int(rate * seconds)).astype(np.int16)


def _judge_batched(model: VADModel, pcm: NDArray[Any], rate: int) -> Iterator[VADEvent]:
    window, context = model.window_samples(rate), model.context_samples(rate)
    detector, state = model.detector(rate), np.zeros((1, *model.state_shape), np.float32)
    scaled = np.concatenate([np.zeros(context, np.float32), pcm.astype(np.float32) / 32768])
    for end in range(window, len(pcm) + 1, window):
        probabilities, state = model.infer(scaled[None, end - window : end + context], state, rate)
        event = detector.feed(float(probabilities[0]), end)
        if event is not None:
            yield event
