"""What the session offers to a reply in the making; every call goes to the machine in the same step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from patter.call.heard import synthesised_part
from patter.call.reply_voice import ENOUGH_MS
from patter.call.session_state import State

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.call.call import Call
    from patter.call.lineup import Lineup
    from patter.call.machine import SessionMachine
    from patter.providers.llm import Message
    from patter.records import ProviderKind


class SessionMouth:
    """See `patter.call.reply_parts.Mouth`."""

    def __init__(
        self, call: Call, machine: SessionMachine, lineup: Lineup, audio_added: Callable[[], None]
    ) -> None:
        #: tells the call's observers
        self.emit = call.events.emit
        self._machine = machine
        self._lineup = lineup
        self._audio_added = audio_added
        self._room = asyncio.Event()
        machine.tools_busy = self._tools_busy

    def _tools_busy(self) -> bool:
        tools = self._lineup.voice.tools
        return tools is not None and tools.busy

    @property
    def carrier_format(self) -> AudioFormat:
        """Format of the audio to add."""
        return self._machine.playout.format

    def open_sentence(self, reply: int, text: str, tool_rounds: int = 0) -> bool:
        """Announce a sentence that comes after so many rounds of tools; False when the reply was cancelled."""
        sentence = self._machine.playout.open_sentence(reply, text)
        if sentence is None:
            return False
        sentence.tool_rounds = tool_rounds
        return True

    def add_audio(self, reply: int, audio: bytes) -> bool:
        """Append audio; False when the reply was cancelled."""
        playout = self._machine.playout
        first = playout.backlog_ms() <= 0
        if not playout.add(reply, audio):
            return False
        if first:
            self._audio_added()
        return True

    def close_sentence(self, reply: int, *, cut: bool = False) -> None:
        """The sentence is complete; `cut` when its voice failed, so that history claims no word of the rest (TN-08)."""
        playout = self._machine.playout
        if cut and playout.turn == reply:
            sentence = playout.sentences[-1]
            sentence.text = synthesised_part(sentence.text, sentence.samples, playout.format.rate)
        self._machine.playout.close_sentence(reply, self._lineup.word_times())
        self._audio_added()

    async def room(self, reply: int) -> None:
        """Wait while more than enough audio is ahead."""
        playout = self._machine.playout
        while playout.turn == reply and playout.backlog_ms() > ENOUGH_MS:
            self._room.clear()
            await self._room.wait()

    def audio_left(self) -> None:
        """Audio was sent or dropped: whoever waits for room looks again. Costs a flag's look when nobody waits."""
        if not self._room.is_set():
            self._room.set()

    @property
    def ending(self) -> bool:
        """Whether the call ends once this reply is heard."""
        return self._machine.state in (State.DRAINING, State.ENDED)

    def messages(self) -> list[Message]:
        """The conversation for the model."""
        return self._machine.conversation.messages()

    def user_text_changed(self, user_turn: int, text: str) -> None:
        """A hook changed the caller's text."""
        self._machine.conversation.change_user(user_turn, text)

    def tool_calls(self, reply: int, message: Message, results: list[Message]) -> None:
        """Tool calls with their results enter the history; what went on until now was no silence (TN-22)."""
        self._machine.conversation.tool_calls(reply, message, results)
        self._machine.silence.count_again(self._lineup.clock.monotonic())

    def worked(self, kind: ProviderKind) -> None:
        """A provider has done its work: failures before that do not count any more."""
        self._lineup.recovered(kind)

    async def failed(self, kind: ProviderKind, error: Exception, *, spoken: bool) -> bool:
        """A provider failed; True when it was made anew or replaced and may be tried again."""
        return await self._lineup.heal(kind, error, spoken=spoken)
