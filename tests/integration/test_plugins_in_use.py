"""Plugins that fail leave every other plugin and call working, and are named; strategies work however they come."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import textwrap

import pytest

from patter import TTSRecord, hookimpl
from patter.audio.formats import MULAW_8K
from patter.errors import ProviderNotFoundError
from patter.providers.carrier import CallStatus
from patter.providers.tts import TTS

EARS = """
    from patter import STTRecord, hookimpl

    @hookimpl
    def patter_register_stt():
        return [STTRecord("ears", "nowhere:Ears")]
"""
DISTRIBUTIONS = {
    "patter-fine": """
        from patter import hookimpl

        turns = []

        @hookimpl
        def patter_turn_ended(call, turn):
            turns.append((call.caller, turn.text))
    """,
    "patter-broken": "import a_module_that_is_nowhere",
    "patter-quits": "raise SystemExit('this machine will not do')",
    "patter-raises": """
        from patter import hookimpl

        @hookimpl
        def patter_register_tts():
            raise RuntimeError("the licence server is down")
    """,
    "patter-misspelt": """
        from patter import hookimpl

        @hookimpl
        def patter_turn_endet(call, turn):
            pass
    """,
    "patter-ears": EARS,
    "patter-more-ears": EARS,
}
OURS = ("patter-twilio", "patter-silero", "patter-espeak", "patter-moonshine", "patter-min-words")


@pytest.fixture
def folder(tmp_path):
    """A folder with distributions as pip leaves them, each with one plugin of its name."""
    for dist, source in DISTRIBUTIONS.items():
        module = dist.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n", encoding="utf-8"
        )
        name = dist.removeprefix("patter-")
        (info / "entry_points.txt").write_text(f"[patter]\n{name} = {module}\n", encoding="utf-8")
    return tmp_path


def patter(*words, folder, **variables):
    """Run the command line in a process of its own, with the folder's distributions beside what is installed."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-m", "patter", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": path, **variables},
    )


def test_the_list_says_what_is_wrong_with_which(folder):
    done = patter("plugins", "--json", folder=folder)
    assert done.returncode == 0
    rows = {row["dist"]: row for row in json.loads(done.stdout)}
    found = {dist: (rows[dist]["status"], rows[dist]["problem"]) for dist in DISTRIBUTIONS}
    assert {dist: status for dist, (status, _) in found.items()} == {
        "patter-fine": "ok",
        "patter-broken": "failed",
        "patter-quits": "failed",
        "patter-raises": "failed",
        "patter-misspelt": "failed",
        "patter-ears": "conflict",
        "patter-more-ears": "conflict",
    }
    for dist, text in {
        "patter-broken": "a_module_that_is_nowhere",
        "patter-quits": "this machine will not do",
        "patter-raises": "the licence server is down",
        "patter-misspelt": "patter_turn_endet",
        "patter-ears": "patter-more-ears",
        "patter-more-ears": "patter-ears",
    }.items():
        assert text in found[dist][1], dist
    assert found["patter-fine"][1] is None
    assert [(rows[dist]["status"], rows[dist]["problem"]) for dist in OURS] == [("ok", None)] * len(OURS)
    # Each failure is reported once.
    assert done.stderr.count("a_module_that_is_nowhere") == 1


def test_a_conflict_is_settled_by_keeping_one_out(folder):
    done = patter("plugins", "--json", folder=folder, PATTER_DISABLE_PLUGINS="patter-more-ears")
    rows = {row["dist"]: row["status"] for row in json.loads(done.stdout)}
    assert (rows["patter-ears"], rows["patter-more-ears"]) == ("ok", "blocked")


@pytest.fixture
def on_path(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    yield
    for dist in DISTRIBUTIONS:
        sys.modules.pop(dist.replace("-", "_"), None)


class Raising:
    """Fails in every hook that may fail, and counts how often it was asked."""

    def __init__(self):
        self.asked = {}

    def _fail(self, hook):
        self.asked[hook] = self.asked.get(hook, 0) + 1
        raise RuntimeError(f"{hook} of a bad plugin")

    @hookimpl(tryfirst=True)
    async def patter_incoming_call(self, call):
        self._fail("incoming_call")

    @hookimpl
    async def patter_call_started(self, call):
        self._fail("call_started")

    @hookimpl(tryfirst=True)
    async def patter_modify_user_turn(self, call, turn):
        turn.text = turn.text
        self._fail("modify_user_turn")

    @hookimpl(tryfirst=True)
    async def patter_modify_request(self, call, request):
        self._fail("modify_request")

    @hookimpl(tryfirst=True)
    async def patter_modify_speech(self, call, sentence):
        self._fail("modify_speech")

    @hookimpl(tryfirst=True)
    async def patter_turn_ended(self, call, turn):
        self._fail("turn_ended")

    @hookimpl(tryfirst=True)
    async def patter_call_ended(self, call, summary):
        self._fail("call_ended")


def test_broken_conflicting_and_raising_plugins_leave_the_others_and_the_calls_working(
    carrier, on_path, caplog
):
    async def scenario():
        bad = Raising()
        async with carrier.loopback(plugins=[bad]) as served:
            failures = []
            served.phone.on_hook_failure = failures.append
            sayings = [f"this is saying {number}" for number in range(4)]
            for number in (1, 2):
                call = await served.ring_and_greet(f"+1555000000{number}")
                await served.talk(call, *sayings)
                call.hangup()
                await served.ended(call, total=number)
            answers = ["Hello.", *(f"You said {saying}." for saying in sayings)]
            assert sys.modules["patter_fine"].turns == [
                (f"+1555000000{number}", answer) for number in (1, 2) for answer in answers
            ]
            # Three failures in a row mute a hook for that call; the next call asks it again.
            assert bad.asked == {
                "incoming_call": 2,
                "call_started": 2,
                "modify_user_turn": 6,
                "modify_request": 6,
                "modify_speech": 6,
                "turn_ended": 6,
                "call_ended": 2,
            }
            assert len(failures) == sum(bad.asked.values())

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    text = "\n".join(record.getMessage() for record in caplog.records)
    for part in ("a_module_that_is_nowhere", "the licence server is down", "is muted", "'Raising'"):
        assert part in text, part


def test_a_hook_that_hangs_costs_its_budget_and_not_the_call(carrier):
    class Hanging:
        @hookimpl
        async def patter_incoming_call(self, call):
            if call.caller.endswith("1"):
                await asyncio.Event().wait()

        @hookimpl
        async def patter_modify_speech(self, call, sentence):
            if call.caller.endswith("1"):
                await asyncio.Event().wait()

        @hookimpl
        async def patter_turn_ended(self, call, turn):
            await asyncio.Event().wait()

    async def scenario():
        async with carrier.loopback(plugins=[Hanging()]) as served:
            loop = asyncio.get_running_loop()
            began = loop.time()
            hung = asyncio.create_task(served.ring("+15550000001"))
            free = await served.ring("+15550000002")
            await served.hears(free, "Hello.")
            assert loop.time() - began < 1.0
            await served.listening(free)
            await served.talk(free, "nobody waits for the other call")
            call = await hung
            assert 2.0 <= loop.time() - began < 4.0
            await served.greeted(call)
            await served.talk(call, "late but heard")
            for each in (call, free):
                each.hangup()
            await served.ended(call, free, total=2)

    asyncio.run(scenario())


def test_a_set_up_hook_that_raises_costs_its_call_alone(carrier):
    class Picky:
        @hookimpl
        async def patter_call_setup(self, call):
            if call.caller.endswith("1"):
                raise RuntimeError("not this caller")

    closed = []

    class Voice(TTS):
        def output_format(self):
            return MULAW_8K

        async def synthesize(self, text):
            yield carrier.written(text + " ")

        async def close(self):
            closed.append(self)

    async def scenario():
        agent = carrier.agent(tts=TTSRecord("voice", Voice))
        async with carrier.loopback(agent, plugins=[Picky()], unavailable_message="Busy.") as served:
            good = await served.ring("+15550000002")
            refused = await served.ring("+15550000001")
            await served.ended(refused, total=1)
            assert len(closed) == 1  # what was made for it
            assert (refused.spoken, served.summaries[0].outcome) == (["Busy."], CallStatus.FAILED)
            await served.hears(good, "Hello.")
            await served.listening(good)
            await served.talk(good, "fine here")
            good.hangup()
            await served.ended(good, total=2)

    asyncio.run(scenario())


def by_hand(phone):
    """What an application does with a plugin of its own, `stop_words` being a module of it."""
    import patter_stop_words

    phone.register(patter_stop_words)


@pytest.mark.parametrize("strategy", ["stop-words", "stop-words?words=halt,stop"])
@pytest.mark.parametrize("registered", [False, True], ids=["installed", "registered"])
def test_the_stop_words_strategy_works_installed_and_registered(carrier, monkeypatch, registered, strategy):
    if registered:
        monkeypatch.setenv("PATTER_DISABLE_PLUGINS", "patter-stop-words")

    async def scenario():
        agent = carrier.agent(barge_in_strategies=strategy)
        async with carrier.loopback(agent, prepare=by_hand if registered else id) as served:
            call = await served.ring_and_greet()
            await call.say(carrier.written("tell me a story"))
            await served.hears(call, "part 2")
            await call.say(carrier.written("well that is nice"))
            length = len(served.heard(call))
            await carrier.until(lambda: len(served.heard(call)) > length + 60)
            assert call.clears == []
            await call.say(carrier.written("please stop"))
            await carrier.until(lambda: call.clears)
            await served.hears(call, "please stop.")
            call.hangup()
            await served.ended(call, total=1)
            assert served.summaries[0].metrics["interruptions"] == 1

    asyncio.run(scenario())


def test_a_strategy_that_nobody_installed_or_registered_is_named_when_the_phone_starts(carrier, monkeypatch):
    monkeypatch.setenv("PATTER_DISABLE_PLUGINS", "patter-stop-words")

    async def scenario():
        with pytest.raises(ProviderNotFoundError, match="patter-stop-words"):
            async with carrier.loopback(carrier.agent(barge_in_strategies="stop-words")):
                pytest.fail("it must not start")

    asyncio.run(scenario())
