"""Every hook of Patter, in the order of a phone's life. The table of contents of the system.

Each entry says when the hook is called, what it gets, what its result means and what happens when it fails.
S hooks are plain functions called through pluggy; A hooks may also be ``async def`` and go through the dispatcher:
one after the other, innermost scope first (call, agent, phone), a time budget for each implementation and twice that
for the whole hook. F hooks stop at the first implementation that answers something other than None.

An implementation may take any subset of the arguments. Arguments are objects that can grow; none is ever renamed.
In a `conftest.py` each of these works as a plain function with `@patter.hookimpl`, for the tests below that folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from patter.markers import hookspec

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.types import (
        BargeInOutcome,
        CallFailure,
        CallSummary,
        LLMRequest,
        Sentence,
        ToolResult,
        TurnReport,
        UserTurn,
    )
    from patter.client import Patter
    from patter.decisions import Accept, Hangup, Reject, Retry, Switch
    from patter.plugins import PluginManager
    from patter.records import (
        BargeInRecord,
        CarrierRecord,
        LLMRecord,
        NoiseFilterRecord,
        RealtimeRecord,
        Record,
        STTRecord,
        TTSRecord,
        VADRecord,
    )

# -- registration: S, once per plugin; a failure disables that plugin and no other ------------------------------------


@hookspec(historic=True)
def patter_add_hooks(manager: PluginManager) -> None:
    """When a plugin is registered. May add hook specs of its own with ``manager.add_hookspecs(module)``."""


@hookspec
def patter_register_carrier() -> Iterable[CarrierRecord] | None:
    """Once, before the first carrier reference is resolved. Return the carriers this plugin provides."""


@hookspec
def patter_register_stt() -> Iterable[STTRecord] | None:
    """Once, before the first STT reference is resolved. Return the recognisers this plugin provides."""


@hookspec
def patter_register_tts() -> Iterable[TTSRecord] | None:
    """Once, before the first TTS reference is resolved. Return the voices this plugin provides."""


@hookspec
def patter_register_llm() -> Iterable[LLMRecord] | None:
    """Once, before the first LLM reference is resolved. Return the language models this plugin provides."""


@hookspec
def patter_register_realtime() -> Iterable[RealtimeRecord] | None:
    """Once, before the first engine reference is resolved. Return the engines this plugin provides."""


@hookspec
def patter_register_vad() -> Iterable[VADRecord] | None:
    """Once, before the first VAD reference is resolved. Return the detectors this plugin provides."""


@hookspec
def patter_register_noise_filter() -> Iterable[NoiseFilterRecord] | None:
    """Once, before the first filter reference is resolved. Return the filters this plugin provides."""


@hookspec
def patter_register_barge_in() -> Iterable[BargeInRecord] | None:
    """Once, before the first strategy reference is resolved. Return the strategies this plugin provides."""


@hookspec
def patter_register_commands(cli: Any) -> None:
    """S, when the command line starts. `cli` is argparse's sub-parsers object: add commands with ``cli.add_parser``
    and set ``parser.set_defaults(run=function)``, the function taking the parsed arguments and returning an exit
    code. A failure skips that plugin's commands with a warning.
    """


# -- phone ------------------------------------------------------------------------------------------------------------


@hookspec(historic=True)
def patter_configure(phone: Patter) -> None:
    """S, when a phone was built and its settings validated, before it serves. A failure is raised to the user."""


@hookspec(firstresult=True)
def patter_resolve(kind: str, ref: Any) -> Record | None:
    """S F, whenever a provider reference is looked up. Return a record, or None to leave it to the next one; core's
    own implementation comes last. A failure is raised as an error of that reference.
    """


@hookspec(firstresult=True)
def patter_build(record: Record, config: Any, call: Call | None) -> Any:
    """S F, when a provider object is made for a call (`call` is None for carriers and shared models). Makes the
    object without I/O; core's own implementation comes last. Wrappers are welcome. A failure refuses the call.
    """


@hookspec
def patter_add_routes(app: Any, phone: Patter) -> None:
    """S, when the aiohttp application is built, before it listens. Add routes to `app`. A failure stops the start."""


@hookspec
def patter_startup(phone: Patter) -> None:
    """A, before the server accepts calls. A failure stops the start."""


@hookspec
def patter_shutdown(phone: Patter) -> None:
    """A, while the phone disconnects; budget 5 s. Failures are logged."""


# -- call: A ----------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def patter_incoming_call(call: Call) -> Accept | Reject | None:
    """A F, when a verified webhook announces a call, before it is answered; budget 2 s. None leaves it to the next
    one and at last to the phone's default agent. Failures are logged.
    """


@hookspec
def patter_call_setup(call: Call) -> None:
    """A, when a call is connected and its providers are built, before any audio; ``call.register(plugin)`` works
    here. A failure ends the call with the phone's `unavailable_message`.
    """


@hookspec
def patter_call_started(call: Call) -> None:
    """A, at the first audio from the caller. Failures are logged."""


@hookspec(firstresult=True)
def patter_call_error(call: Call, error: CallFailure) -> Retry | Switch | Hangup | None:
    """A F, when a provider failed in mid-call and its own healing did not help. None leaves it to core's policy.
    Failures are logged.
    """


@hookspec
def patter_call_ended(call: Call, summary: CallSummary) -> None:
    """A, exactly once per call object, connected or not, after its media is torn down and before its record is
    final; budget 5 s. Failures are logged.
    """


# -- turn: A, in the turn runner, never in the reader -----------------------------------------------------------------


@hookspec
def patter_modify_user_turn(call: Call, turn: UserTurn) -> None:
    """A, when the caller's turn is committed, before it enters the history. Edit ``turn.text`` in place; an empty
    text skips the turn. Failures are logged and the turn goes on unchanged.
    """


@hookspec
def patter_modify_request(call: Call, request: LLMRequest) -> None:
    """A, before each request to the language model. Edit ``request.messages`` and ``request.tools`` in place."""


@hookspec
def patter_modify_speech(call: Call, sentence: Sentence) -> None:
    """A, for each sentence between model and voice; budget 50 ms. Edit ``sentence.text`` in place; an empty text
    skips the sentence.
    """


@hookspec
def patter_turn_ended(call: Call, turn: TurnReport) -> None:
    """A, when an agent turn was heard to its end or cut; carries its text as heard and its timings."""


@hookspec
def patter_barge_in(call: Call, event: BargeInOutcome) -> None:
    """A, after an interruption was confirmed or dropped."""


@hookspec
def patter_dtmf(call: Call, digit: str) -> None:
    """A, once for each key the caller pressed, in order."""


@hookspec
def patter_tool_finished(call: Call, tool_call: ToolResult) -> None:
    """A, when a tool returned, failed or ran out of time."""
