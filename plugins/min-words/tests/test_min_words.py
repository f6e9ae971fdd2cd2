from __future__ import annotations

import subprocess
import sys
import time

import pytest

import patter_min_words
from patter import BargeInEvent, ConfigError
from patter.call.barge_in import BargeIn, BargeInSettings
from patter_min_words.strategy import MinWordsStrategy

KINDS = ("speech_start", "speech_tick", "interim", "final", "speech_end")


def event(transcript, kind="interim", agent_speaking=True):
    return BargeInEvent(kind, transcript, kind == "final", agent_speaking, 300.0, 1000.0)


@pytest.mark.behaviour("BI-15")
def test_confirms_from_so_many_words_on():
    strategy = by_reference("min-words?min_words=3")
    assert isinstance(strategy, MinWordsStrategy)
    for kind in KINDS:
        assert strategy.evaluate(event("okay", kind)) is False
        assert strategy.evaluate(event("no wait", kind)) is False
        assert strategy.evaluate(event("no wait stop", kind)) is True
        assert strategy.evaluate(event("no wait stop please", kind)) is True
        assert strategy.evaluate(event("", kind, agent_speaking=False)) is False
        assert strategy.evaluate(event("okay", kind, agent_speaking=False)) is True
    patient = by_reference("min-words?min_words=3&use_interim=false")
    for kind in KINDS:
        assert patient.evaluate(event("no wait stop", kind)) is (kind == "final")
        assert patient.evaluate(event("okay", kind, agent_speaking=False)) is (kind == "final")
    for bad in (0, -1, True, 1.5, "2", None):
        with pytest.raises(ConfigError, match="min_words"):
            MinWordsStrategy(min_words=bad)
    with pytest.raises(ConfigError, match="min_words"):
        by_reference("min-words?min_words=0")


def by_reference(reference):
    """The strategy as a call gets it: registered, resolved and built."""
    from patter.environment import Environment
    from patter.plugins.building import SharedObjectPool, build
    from patter.plugins.manager import PluginManager
    from patter.plugins.resolving import resolve
    from patter.providers.context import ProviderContext

    manager = PluginManager(environ={"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"})
    manager.register(patter_min_words, "min-words")
    return build(
        manager, resolve(manager, "barge_in", reference), ProviderContext(Environment(), SharedObjectPool())
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't", 1),
        ("uh-huh", 1),
        ("it’s  me,\tagain!", 3),
        ("... — ?", 0),
        ("room 4711", 2),
        ("не надо", 2),
        ("等一下", 2),
        ("待って", 2),
        ("snake_case", 2),
    ],
)
def test_counts_words(text, words):
    for needed in range(1, 5):
        assert MinWordsStrategy(needed).evaluate(event(text)) is (words >= needed)


def test_the_same_events_give_the_same_answers_and_quickly():
    strategy = MinWordsStrategy(3)
    events = [event(text, kind) for kind in KINDS for text in ("okay", "no wait stop", "word " * 10_000)]
    first = [strategy.evaluate(one) for one in events]
    strategy.reset()
    assert [strategy.evaluate(one) for one in events] == first
    started = time.perf_counter()
    for _ in range(1000):
        strategy.evaluate(events[-1])
    assert (time.perf_counter() - started) / 1000 < 0.0001


def test_interrupts_a_call_once_the_words_are_there():
    machine = BargeIn(BargeInSettings(mode="confirm"), [MinWordsStrategy(3)])
    machine.agent_sent_audio(10.0)
    assert machine.speech_started(11.0) is None
    assert machine.interim("no", 11.4) is None
    assert machine.interim("no wait", 11.6) is None
    confirmed = machine.interim("no wait stop", 11.8)
    assert confirmed is not None
    assert (confirmed.outcome, confirmed.transcript) == ("confirmed", "no wait stop")


def test_importing_the_plugin_imports_nothing_else():
    code = "import sys, patter_min_words; print('patter_min_words.strategy' in sys.modules, 'asyncio' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.split() == ["False", "False"]
