from __future__ import annotations

from pathlib import Path

import pytest

import patter_stop_words
from patter import BargeInEvent
from patter.call.barge_in import BargeIn, BargeInSettings
from patter.environment import Environment
from patter.plugins.building import SharedObjectPool, build
from patter.plugins.manager import PluginManager
from patter.plugins.resolving import resolve
from patter.providers.context import ProviderContext


def strategy(reference="stop-words"):
    """As a call gets it: registered, resolved and built."""
    manager = PluginManager(environ={"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"})
    manager.register(patter_stop_words, "stop-words")
    return build(
        manager, resolve(manager, "barge_in", reference), ProviderContext(Environment(), SharedObjectPool())
    )


def event(transcript):
    return BargeInEvent("interim", transcript, False, True, 300.0, 1000.0)


@pytest.mark.parametrize(
    ("transcript", "interrupts"),
    [("okay", False), ("", False), ("Wait", True), ("no, STOP please", True), ("hold on a second", True)],
)
def test_a_stop_word_interrupts(transcript, interrupts):
    assert strategy().evaluate(event(transcript)) is interrupts


def test_the_reference_can_name_the_words():
    german = strategy("stop-words?words=halt,warte")
    assert german.evaluate(event("Warte mal"))
    assert not german.evaluate(event("stop"))


def test_interrupts_a_call():
    machine = BargeIn(BargeInSettings(mode="confirm"), [strategy()])
    machine.agent_sent_audio(10.0)
    machine.speech_started(11.0)
    assert machine.interim("well that is nice", 11.4) is None
    interruption = machine.interim("well that is nice but stop", 11.8)
    assert interruption is not None
    assert interruption.outcome == "confirmed"


def test_the_whole_plugin_is_one_short_file():
    files = [one.name for one in Path(patter_stop_words.__file__).parent.iterdir() if one.suffix == ".py"]
    assert files == ["__init__.py"]
    lines = Path(patter_stop_words.__file__).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 15
