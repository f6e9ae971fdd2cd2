"""`on_call_start` changes the agent for one call (TN-19). In virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from call_watch import WATCHED, Watch

from patter import Agent, Patter, STTRecord, TTSRecord, UnknownOptionError, hookimpl, tool
from patter.errors import ConfigError
from patter.testing.fake_llm import FakeLLM
from patter.testing.fake_stt import FakeSTT
from patter.testing.fake_tts import FakeTTS

pytestmark = pytest.mark.patter_phone(**WATCHED)


class LiveModel:
    """A factory that is an object: it makes models, and must be neither copied nor replaced."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def __call__(self, context: Any, model: str = "small") -> FakeLLM:
        """A model for one call."""
        self.models.append(model)
        return FakeLLM(context)

    def __copy__(self) -> LiveModel:
        raise AssertionError("a live object was copied")

    def __deepcopy__(self, memo: Any) -> LiveModel:
        raise AssertionError("a live object was copied")


class Voices:
    """A TTS with voices, and a second STT."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    @hookimpl
    def patter_register_tts(self) -> list[TTSRecord]:
        """``voiced``."""

        def voiced(context: Any, voice: str = "bob", speed: float = 1.0) -> FakeTTS:
            self.made.append(("voice", voice))
            return FakeTTS(context)

        return [TTSRecord("voiced", voiced)]

    @hookimpl
    def patter_register_stt(self) -> list[STTRecord]:
        """``other``."""

        def other(context: Any, region: str = "eu") -> FakeSTT:
            self.made.append(("region", region))
            return FakeSTT(context)

        return [STTRecord("other", other, interims=True, reconnects=True)]


@tool
async def weather(city: str) -> str:
    """Tell the weather."""
    return "sunny"


@pytest.fixture
def voices(phone: Any) -> Voices:
    """Providers to change to."""
    made: Voices = phone.register(Voices())
    return made


@pytest.fixture
def live() -> LiveModel:
    """The model of the agent."""
    return LiveModel()


@pytest.fixture
def agent(live: LiveModel) -> Agent:
    """An agent with a live object among its providers."""
    return Agent(
        system_prompt="You are {name} of {company}.",
        first_message="Hello, this is {name}.",
        stt="fake",
        llm=live,
        tts="voiced?speed=1.5",
        vad="fake",
        variables={"name": "Ann", "company": "Acme"},
        disable_phone_preamble=True,
        prewarm=False,  # what is made is counted here
    )


async def exchange(call: Any, greeting: str) -> tuple[str, set[str]]:
    """Hear the greeting, say something; returns the system prompt and the tools that the model got."""
    await call.agent_says(greeting)
    await call.quiet(200)
    await call.caller_says("How are you?")
    await call.agent_says("Fine.")
    script = call.scene.model
    return script.requests[0][0].content, {spec.name for spec in script.tools[0]}


CHANGES = {
    "system_prompt": "Sell tea to {name}, {visits} times.",
    "first_message": "Ciao {name} di {company}!",
    "language": "it",
    "voice": "anna",
    "model": "large",
    "stt": "other?region=us",
    "tools": [weather],
    "variables": {"name": "Bob", "visits": 3},
}


@pytest.mark.behaviour("TN-19")
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_a_mapping_changes_everything_for_this_call_only(
    watch: Watch, simcall: Any, agent: Agent, live: LiveModel, voices: Voices, is_async: bool
) -> None:
    async def later(call: Any) -> Any:
        await asyncio.sleep(0.2)
        return CHANGES

    before = agent.model_dump(exclude={"llm", "tools"})
    watch.starting = later if is_async else lambda call: CHANGES
    plugin = agent.register(Shout())
    async with simcall(agent, replies=["Fine."]) as call:
        prompt, tools = await exchange(call, "Ciao Bob di Acme! And so on.")
        changed = call.call.agent
    assert prompt == "Sell tea to Bob, 3 times."
    assert {"weather"} < tools
    assert (changed.language, changed.llm, changed.plugins) == ("it", live, (plugin,))
    assert live.models == ["large"]
    assert voices.made == [("region", "us"), ("voice", "anna")]

    watch.starting = lambda call: None
    async with simcall(agent, replies=["Fine."]) as call:
        prompt, tools = await exchange(call, "Hello, this is Ann. And so on.")
        assert call.call.agent is agent
    assert prompt == "You are Ann of Acme."
    assert "weather" not in tools
    assert live.models == ["large", "small"]
    assert voices.made[2:] == [("voice", "bob")]
    assert agent.model_dump(exclude={"llm", "tools"}) == before
    watch.check(calls=2, connected=2)


class Shout:
    """A plugin of the agent."""

    @hookimpl
    def patter_modify_speech(self, sentence: Any) -> None:
        """Add to the greeting."""
        if sentence.index == 0 and sentence.text.startswith(("Ciao", "Hello")):
            sentence.text += " And so on."


@pytest.mark.behaviour("TN-19")
async def test_calls_at_the_same_time_are_changed_apart(
    watch: Watch, simcall: Any, agent: Agent, voices: Voices
) -> None:
    watch.starting = lambda call: {"variables": {"name": call.caller[-1]}, "voice": f"v{call.caller[-1]}"}

    async def one(number: int) -> None:
        async with simcall(agent, caller=f"+1555000000{number}") as call:
            await call.agent_says(f"Hello, this is {number}.")

    await asyncio.gather(*(one(number) for number in range(4)))
    assert sorted(voices.made) == [("voice", f"v{number}") for number in range(4)]
    watch.check(calls=4, connected=4)


@pytest.mark.behaviour("TN-19")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"langage": "it"}, "'langage', which is no option of an agent; did you mean language?"),
        ({"voise": "x"}, "did you mean voice?"),
        ({"first_message": "No.", "language": 7}, "language"),
        ({"first_message": "No.", "stt": "nowhere"}, 'no STT "nowhere"'),
        ({"first_message": "No.", "tts": None, "voice": "x"}, "no tts that voice"),
        ({"first_message": "No.", "tts": "fake", "voice": "x"}, "voice"),
        ({1: 2}, "returned 1, which is no option"),
        (["it"], "must return a mapping of options or None, not a list"),
    ],
)
async def test_what_cannot_be_changed_is_logged_and_the_call_goes_on_as_planned(
    watch: Watch, simcall: Any, agent: Agent, voices: Voices, caplog: Any, changes: Any, said: str
) -> None:
    watch.starting = lambda call: changes
    with caplog.at_level(logging.ERROR):
        async with simcall(agent) as call:
            await call.agent_says("Hello, this is Ann.")
            assert call.call.agent is agent
    (record,) = caplog.records
    assert record.getMessage().startswith(f"call {call.call.id} goes on with its agent as it was: ")
    assert said in record.getMessage()
    watch.check(calls=1, connected=1)


@pytest.mark.behaviour("TN-19")
async def test_a_dialled_call_is_changed_too_and_sees_what_the_carrier_sent(
    watch: Watch, simcall: Any, agent: Agent, voices: Voices
) -> None:
    await watch.phone.start(agent, port=0)
    watch.starting = lambda call: {"first_message": f"Hello {call.callee}, {call.direction}."}
    carrier = watch.phone.switchboard.trunks["fake"].carrier
    calling = asyncio.ensure_future(watch.phone.call("+15550002222"))
    await asyncio.sleep(1)
    async with simcall(dialled=carrier.dialled[0]) as call:
        await call.agent_says("Hello +15550002222, outbound.")
    result = await calling
    assert result.outcome == "answered"
    watch.check(calls=1, connected=1)


def test_callbacks_are_functions() -> None:
    with pytest.raises(ConfigError, match="on_call_start must be a function, not a dict"):
        Patter(on_call_start={})
    with pytest.raises(UnknownOptionError, match="on_call_strat"):
        Patter(on_call_strat=print)
