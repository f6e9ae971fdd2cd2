"""A whole call from a seed: what the caller, the carrier, the providers and the application's own code do, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from patter.call.barge_in import BargeInMode, BargeInSettings
from patter.call.session_state import SessionSettings
from patter.environment import Environment, SystemClock
from patter.testing.simulation.agent_plans import ReplyPlan, draw_replies
from patter.testing.simulation.draw import PROMPT_ECHO_S, CallerDrawing, Script, choose, draw_echoes
from patter.testing.simulation.strategies import LINEUPS
from patter.testing.whole_call.prewarm_plan import PrewarmPlan, draw_prewarm

if TYPE_CHECKING:
    from collections.abc import Callable

#: what a caller does in one call, at least and at most
FEWEST_EVENTS, MOST_EVENTS = 6, 40
#: nothing happens for this long at the end of some calls, in s; longer than any provider's deadline but the model's
QUIET_S = 26.0
#: in calls whose model never answers: three times its 15 s, and an apology
LONG_QUIET_S = 60.0
HANGS_S = 15.0

#: their seeds are so much higher
COMPANIONS = 1 << 40

Ending = Literal["stop", "drop", "stop and drop", "application", "drop and status", "shutdown"]
Media = Literal["normal", "late", "never", "dropped at once", "of another call", "odd messages first"]


@dataclass(slots=True)
class STTPlan:
    """The recogniser's mishaps. Times in s.

    Attributes:
        connect_s: how long each connection takes to be made, in turn.
        fails_to_connect: how many connections fail at first.
        send_s: how long it takes for a frame; None when it takes frames at once, as a plain function.
    """

    connect_s: float
    fails_to_connect: int
    send_s: float | None


@dataclass(slots=True)
class ModelPlan:
    """The model's mishaps in one reply.

    Attributes:
        fails: at which token; -1 for never, 0 before the first.
        fails_again: how many more requests fail in the same way.
        tool: the tool that is called after the text; "" for none.
        tokens_s: between two tokens.
        close_s: how long it takes to be closed.
    """

    fails: int
    fails_again: int
    tool: str
    tokens_s: float
    close_s: float


@dataclass(frozen=True, slots=True)
class VoicePlan:
    """How one sentence is made. Times in s.

    Attributes:
        first_s: until the first audio.
        gap_s: between its two halves.
        fails_at: the share of it that is made when the voice fails; None when it does not.
        chunk: bytes of audio at a time.
        close_s: how long it takes to be closed.
        hangs: whether nothing ever comes.
    """

    first_s: float = 0.0
    gap_s: float = 0.0
    fails_at: float | None = None
    chunk: int = 800
    close_s: float = 0.0
    hangs: bool = False


@dataclass(slots=True)
class WholeScript(Script):
    """One whole call; see `Script` for what both levels have.

    Attributes:
        far_end: picks the carrier's protocol among the installed ones, from 0 to 1.
        outbound: whether Patter places the call.
        media: how its media stream begins.
        ending: how the caller's side ends it.
        hooks: (hook, how it misbehaves).
        statuses: (time, status) of the carrier's callbacks.
        company: whether another call is played on the same phone at the same time.
        unmade: the kind of provider that cannot be made; "" when all can.
        prewarm: what happens while it rings; None when nothing is made ready then.
    """

    far_end: float
    outbound: bool
    media: Media
    ending: Ending
    stt: STTPlan
    models: tuple[ModelPlan, ...]
    voices: tuple[VoicePlan, ...]
    hooks: tuple[tuple[str, str], ...]
    statuses: tuple[tuple[float, str], ...]
    unmade: str
    company: bool
    prewarm: PrewarmPlan | None

    @property
    def shuts_down(self) -> bool:
        """Whether the phone shuts down in this call."""
        return self.ending == "shutdown" or (
            self.prewarm is not None and self.prewarm.unanswered == "shutdown"
        )


#: hooks that may misbehave, and how
HOOKS = (
    *("patter_turn_ended", "patter_barge_in", "patter_dtmf", "patter_call_started", "patter_call_ended"),
    *("patter_modify_user_turn", "patter_modify_request", "patter_modify_speech", "patter_tool_finished"),
    *("patter_call_error", "patter_call_setup"),
)
MISBEHAVIOURS = ("raises", "hangs", "is slow", "clings")
TOOLS = (
    "look_up",
    "slow_look_up",
    "broken_look_up",
    "hanging_look_up",
    "end_call",
    "transfer_call",
    "unknown",
)
STATUSES = ("ringing", "in-progress", "completed", "failed")


def draw_whole(seed: int) -> WholeScript:
    """The script of that seed, always the same."""
    random = Environment.seeded(seed, SystemClock()).random.random
    mode = cast("BargeInMode", choose(random, ("cancel", "confirm", "pause")))
    settings = SessionSettings(
        first_message=choose(random, ("", "Hello there.", "Hello from Acme today.")),
        turn_end=choose(random, ("stt", "stt", "vad", "vad", "manual")),
    )
    barge_in = BargeInSettings(
        mode=mode,
        gate_s=0.25,
        confirm_s=choose(random, (0.4, 1.5)),
        has_vad=settings.turn_end == "vad" or random() < 0.8,
    )
    events = _caller(random, settings.turn_end == "manual")
    models = tuple(_model(random) for _ in range(4))
    replies = _replies(random)
    long = any(plan.llm_s >= HANGS_S for plan in replies)
    cut = random() < 0.6
    quiet_s = 0.0 if cut else LONG_QUIET_S if long else QUIET_S
    last = events[-1][0]
    hangs_up_at = round(last * (0.3 + random()) + 3.0 if cut else last + quiet_s, 3)
    delay_s = PROMPT_ECHO_S / 3 * random()
    ending = _ending(random)
    script = WholeScript(
        seed=seed,
        settings=settings,
        barge_in=barge_in,
        lineup="none" if mode == "cancel" else choose(random, tuple(LINEUPS)),
        delay_s=delay_s,
        echoes=draw_echoes(random, PROMPT_ECHO_S - delay_s),
        marks_return=random() < 0.6,
        replies=replies,
        events=events,
        hangs_up_at=hangs_up_at,
        quiet_s=quiet_s,
        far_end=random(),
        outbound=random() < 0.2,
        media=_media(random),
        ending=ending,
        stt=_stt(random),
        models=models,
        voices=tuple(_voice(random) for _ in range(4)),
        hooks=_hooks(random),
        statuses=tuple(
            (hangs_up_at * 1.2 * random(), choose(random, STATUSES)) for _ in range(int(4 * random()))
        ),
        company=random() < 0.12 and ending != "shutdown",
        unmade=choose(random, ("stt", "llm", "tts", "vad")) if random() < 0.015 else "",
        prewarm=None,
    )
    return with_prewarm(script, draw_prewarm(seed, outbound=script.outbound))


def with_prewarm(script: WholeScript, plan: PrewarmPlan | None) -> WholeScript:
    """The same call after its ringing."""
    if plan is not None:
        wait_s = plan.settles_s
        script.prewarm = plan
        script.events = [(t + wait_s, what, argument) for t, what, argument in script.events]
        script.statuses = tuple((t + wait_s, status) for t, status in script.statuses)
        script.hangs_up_at = round(script.hangs_up_at + wait_s, 3)
        if plan.unanswered == "shutdown":
            script.company = False
    return script


def companion_of(script: WholeScript) -> WholeScript:
    """The call that is played at the same time."""
    companion = draw_whole(script.seed + COMPANIONS)
    companion.company = False
    if companion.ending == "shutdown":
        companion.ending = "stop"
    if companion.prewarm is not None and companion.prewarm.unanswered == "shutdown":
        companion.prewarm = replace(companion.prewarm, unanswered="application")
    return companion


def _caller(random: Callable[[], float], manual: bool) -> list[tuple[float, str, object]]:
    caller = CallerDrawing(random, slowness=2.5)
    caller.t = 1.5 * random()
    target = FEWEST_EVENTS + int((MOST_EVENTS - FEWEST_EVENTS + 1) * random() ** 2)
    while len(caller.events) < target:
        caller.gap()
        kind = random()
        if kind < 0.82:
            caller.utterance()
        elif kind < 0.9:
            caller.other(manual)
        else:
            _mishap(caller)
    return caller.first(target)


def _mishap(caller: CallerDrawing) -> None:
    """What only a whole stack can meet."""
    kind, t = caller.random(), caller.t + 0.3 * caller.random()
    if kind < 0.25:
        caller.add(t, "digit", "0123456789*#ABCD"[int(16 * caller.random())])
    elif kind < 0.4:
        caller.add(t, "recogniser_fails", "ends" if kind < 0.32 else "raises")
    elif kind < 0.5:
        caller.add(t, "odd_message", int(5 * caller.random()))
    elif kind < 0.7:
        caller.add(t, "stall", 0.4 * caller.random() if kind < 0.6 else 6.0 * caller.random())
    elif kind < 0.8:
        caller.add(t, "freeze", 0.5 * caller.random())
    elif kind < 0.84:
        caller.add(t, "hang_up_by_application")
    elif kind < 0.88:
        caller.add(t, "transfer", "+15550007777")
    elif kind < 0.91:
        caller.add(t, "drop")
    elif kind < 0.96:
        caller.add(t, "end_call", "the application said goodbye")
    else:
        caller.add(t, "keys", "12w#")


def _replies(random: Callable[[], float]) -> tuple[ReplyPlan, ...]:
    """As the machines' agents have them, at the pace of people; a model that hangs is rare, for it takes 15 s."""
    plans = draw_replies(random, fast=False)
    for plan in plans:
        if plan.llm_s >= HANGS_S and random() < 0.8:
            plan.llm_s = 1.0
    return plans


def _model(random: Callable[[], float]) -> ModelPlan:
    kind = random()
    fails = -1 if kind < 0.88 else 0 if kind < 0.94 else 1 + int(3 * random())
    tool = choose(random, TOOLS) if random() < 0.12 else ""
    return ModelPlan(
        fails,
        int(3 * random()) if random() < 0.3 else 0,
        tool,
        0.0 if random() < 0.7 else 0.08 * random(),
        0.0 if random() < 0.9 else 0.05,
    )


def _voice(random: Callable[[], float]) -> VoicePlan:
    kind = random()
    return VoicePlan(
        fails_at=random() if kind < 0.05 else 0.0 if kind < 0.08 else None,
        chunk=choose(random, (160, 320, 800, 1234, 4000, 100_000)),
        close_s=0.0 if random() < 0.9 else 0.05,
        hangs=0.08 < kind < 0.09,
    )


def _stt(random: Callable[[], float]) -> STTPlan:
    kind = random()
    return STTPlan(
        0.0 if random() < 0.6 else 0.8 * random(),
        1 if kind < 0.05 else 4 if kind < 0.06 else 0,
        None if random() < 0.75 else 0.0 if random() < 0.5 else 0.05 * random(),
    )


def _media(random: Callable[[], float]) -> Media:
    kind = random()
    if kind < 0.94:
        return "normal"
    return cast(
        "Media", choose(random, ("late", "never", "dropped at once", "of another call", "odd messages first"))
    )


def _ending(random: Callable[[], float]) -> Ending:
    kind = random()
    if kind < 0.45:
        return "stop"
    if kind < 0.49:
        return "shutdown"
    return cast("Ending", choose(random, ("drop", "stop and drop", "application", "drop and status")))


def _hooks(random: Callable[[], float]) -> tuple[tuple[str, str], ...]:
    if random() < 0.6:
        return ()
    count = 1 + int(3 * random())
    chosen = {choose(random, HOOKS): choose(random, MISBEHAVIOURS) for _ in range(count)}
    # a set-up that raises is a refused call, which is soon over: rarely
    if chosen.get("patter_call_setup", "is slow") != "is slow" and random() < 0.8:
        del chosen["patter_call_setup"]
    return tuple(chosen.items())
