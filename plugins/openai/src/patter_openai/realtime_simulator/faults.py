"""The ways in which the simulated engine misbehaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class RealtimeFaults:
    """What goes wrong; nothing by default.

    One update of the settings may go wrong on each connection, the one with the number `faulty_update`: the first is the
    set-up, so that 2 is the first one after it.

    Attributes:
        faulty_update: which update goes wrong, from 1.
        update: whether that update is "applied", "ignored" (its echo shows the old values) or "refused" by an error.
        acknowledgement: its echo comes "normal"ly, "late", "reordered" (the update is handled once a response has begun
            to sound) or "never".
        acknowledgement_delay_s: how late, in s.
        cancels: so many responses are cancelled by the server, as if it had heard speech; the first ones.
        cancel_after_ms: of their audio.
        cancel_events: how the server says that a response is cancelled; ``response.cancelled`` and
            ``response.canceled`` exist nowhere in the documentation.
        late_deltas: pieces of audio that still come after a cancellation.
        silent_responses: so many responses complete without any audio; the first ones.
        failing_responses: so many responses fail with the error `failure`; the first ones.
        failure: the code of that error.
        incomplete_responses: so many end as incomplete in the middle; the first ones.
        drop: where the connection is lost: at the first request for a response, in the middle of a response's audio,
            or right after a response.
        drop_after_ms: of the audio, for "during".
        drops: on how many connections.
        close_code: with what it is closed then; None: without a word.
        stall: nothing more is sent from there on: from the "opening", or in the middle of a "response".
        opening_error: the code of an error in place of ``session.created``, after which the connection is closed.
        connections: how many are accepted; all by default. Others are refused with HTTP 503.
        expire_after_s: a session is closed as expired after this, in s.
        audio: formats that the session uses whatever it is asked for, as ``{"input": ..., "output": ...}``.
        transcription_failed: whether the caller's words are never transcribed.
        transcription_delay_s: the transcript comes so long after the turn, at least and at most, in s.
    """

    faulty_update: int = 2
    update: Literal["applied", "ignored", "refused"] = "applied"
    acknowledgement: Literal["normal", "late", "reordered", "never"] = "normal"
    acknowledgement_delay_s: float = 0.0
    cancels: int = 0
    cancel_after_ms: int = 400
    cancel_events: tuple[str, ...] = ("response.done",)
    late_deltas: int = 2
    silent_responses: int = 0
    failing_responses: int = 0
    failure: str = "server_error"
    incomplete_responses: int = 0
    drop: Literal["before", "during", "after"] | None = None
    drop_after_ms: int = 400
    drops: int = 1
    close_code: int | None = None
    stall: Literal["opening", "response"] | None = None
    opening_error: str = ""
    connections: int | None = None
    expire_after_s: float | None = None
    audio: Mapping[str, Any] | None = None
    transcription_failed: bool = False
    transcription_delay_s: tuple[float, float] = (0.2, 0.2)
