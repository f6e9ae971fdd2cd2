"""What a recogniser must do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import ProviderDisconnected
from patter.metrics.cost_meter import CallMeter
from patter.providers.stt import STT, Final, Interim, SpeechStarted, STTEvent, UtteranceEnd
from patter.records import ProviderKind, STTRecord
from patter.testing.conformance.parking import ParkingConformance
from patter.testing.conformance.subject import Server, Subject, closed
from patter.testing.word_errors import normalise

#: a final answers `finalize()` within this, in s
FINAL_S = 10.0
#: a lost connection is noticed within this, in s
NOTICED_S = 2.0


class STTConformance(ParkingConformance):
    """Checks of `patter.providers.stt.STT`.

    Attributes:
        words: what `speech()` says, if there is any.
    """

    kind: ClassVar[ProviderKind] = "stt"
    words: ClassVar[str] = ""

    def speech(self, audio_format: AudioFormat) -> bytes:
        """Speech that says `words`, in one of the provider's formats; silence by default."""
        return audio_format.silence(audio_format.rate)

    async def drop_connection(self) -> None:
        """Cut the connections of the provider's server, as a network does: without a word to either end.

        For an STT that talks over a socket; without it the checks of lost connections are skipped.
        """
        raise NotImplementedError

    async def work(self, provider: Any) -> None:
        """Recognise one utterance."""
        await self.recognise(provider)

    async def use(self, provider: Any, meter: CallMeter) -> None:
        """Recognise one utterance."""
        chosen = provider.input_formats()[0]
        heard = meter.hears(provider, chosen)
        await self.recognise(provider, audio_format=chosen)
        heard.bytes += len(self.speech(chosen))

    async def recognise(
        self,
        stt: STT,
        *,
        chunk_ms: int = 20,
        audio_format: AudioFormat | None = None,
        real_time: bool = False,
    ) -> list[STTEvent]:
        """Events of one utterance up to the final that answers `finalize()`; `real_time` feeds it as a call does."""
        chosen = audio_format or stt.input_formats()[0]
        await stt.connect(chosen)
        return await self._one_utterance(stt, chosen, chunk_ms=chunk_ms, real_time=real_time)

    def parking_arguments(self, provider: Any) -> tuple[Any, ...]:
        """The format of the audio."""
        return (provider.input_formats()[0],)

    async def open_live(self, provider: Any) -> None:
        """Connect."""
        await provider.connect(provider.input_formats()[0])

    async def work_adopted(self, provider: Any) -> None:
        """Recognise one utterance."""
        self._assert_understood(await self._one_utterance(provider, provider.input_formats()[0]))

    async def _one_utterance(
        self, stt: STT, chosen: AudioFormat, *, chunk_ms: int = 20, real_time: bool = False
    ) -> list[STTEvent]:
        """Events of one utterance of a connected recogniser."""
        await self._say(stt, chosen, chunk_ms=chunk_ms, real_time=real_time)
        events: list[STTEvent] = []
        async with asyncio.timeout(FINAL_S):
            async for event in stt.receive():
                events.append(event)
                if isinstance(event, Final):
                    break
        return events

    async def _say(
        self, stt: STT, chosen: AudioFormat, *, chunk_ms: int = 20, real_time: bool = False
    ) -> None:
        """Send `speech()` and ask for its final."""
        stt.interims_wanted(True)
        stt.speech_started()
        audio = self.speech(chosen)
        step = chosen.bytes_for_ms(chunk_ms)
        for start in range(0, len(audio), step):
            await _taken(stt.send_audio(audio[start : start + step]))
            await asyncio.sleep(chunk_ms / 1000 if real_time else 0)
        await stt.finalize()

    def test_it_takes_formats_and_reports_known_events(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            stt = subject.make()
            assert isinstance(stt, STT)
            formats = stt.input_formats()
            assert formats
            assert all(isinstance(one, AudioFormat) for one in formats)
            events = await self.recognise(stt)
            assert all(isinstance(event, (Interim, Final, SpeechStarted, UtteranceEnd)) for event in events)
            await closed(stt)

        self.run(server, check)

    @pytest.mark.behaviour("SP-03")
    def test_its_formats_are_declared_and_do_not_change(self, server: Server) -> None:
        """Each once, the same for every call, before it is connected and after; µ-law if that is native."""

        async def check(subject: Subject) -> None:
            stt, other = subject.make(), subject.make()
            declared = tuple(stt.input_formats())
            assert len(set(declared)) == len(declared) > 0
            assert all(isinstance(one, AudioFormat) for one in declared)
            assert self.native_mulaw in (None, MULAW_8K in declared)
            await self.recognise(stt)
            assert tuple(stt.input_formats()) == tuple(other.input_formats()) == declared
            await closed(stt)
            await closed(other)

        self.run(server, check)

    @pytest.mark.behaviour("SP-03")
    def test_every_format_is_understood(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            for audio_format in subject.make().input_formats():
                stt = subject.make()
                self._assert_understood(await self.recognise(stt, audio_format=audio_format))
                await closed(stt)

        self.run(server, check)

    @pytest.mark.parametrize("chunk_ms", [10, 20, 40, 100])
    def test_frames_of_any_length_give_the_same_words(self, server: Server, chunk_ms: int) -> None:
        async def check(subject: Subject) -> None:
            stt = subject.make()
            self._assert_understood(await self.recognise(stt, chunk_ms=chunk_ms))
            await closed(stt)

        self.run(server, check)

    def _assert_understood(self, events: Sequence[STTEvent]) -> None:
        text = " ".join(event.text for event in events if isinstance(event, Final))
        assert normalise(text) == normalise(self.words)

    def test_interims_come_before_the_final_if_they_are_claimed(self, server: Server) -> None:
        if not self.words:
            pytest.skip("words is not set")

        async def check(subject: Subject) -> None:
            assert isinstance(subject.record, STTRecord)
            stt = subject.make()
            events = await self.recognise(stt, real_time=True)
            interims = [event for event in events if isinstance(event, Interim)]
            if subject.record.interims:
                assert interims
            for interim in interims:
                assert 0 <= interim.stable_chars <= len(interim.text)
            await closed(stt)

        self.run(server, check)

    def test_one_final_for_an_utterance_and_none_for_silence(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            stt = subject.make()
            events = await self.recognise(stt)
            assert [type(event) for event in events].count(Final) == 1
            await closed(stt)
            silent = subject.make()
            chosen = silent.input_formats()[0]
            await silent.connect(chosen)
            for _ in range(25):
                await _taken(silent.send_audio(chosen.silence(chosen.rate // 50)))
            await silent.finalize()
            async with asyncio.timeout(FINAL_S):
                final = await anext(aiter(silent.receive()))
            assert isinstance(final, Final)
            assert final.text == ""
            await closed(silent)

        self.run(server, check)

    @pytest.mark.behaviour("SP-02")
    def test_a_lost_connection_is_told_and_leaves_nothing_to_be_told_twice(self, server: Server) -> None:
        """What core builds on when it makes the STT anew; see `patter.providers.stt.STT`."""
        if type(self).drop_connection is STTConformance.drop_connection:
            pytest.skip("has no drop_connection(): no connection that can be lost")

        async def check(subject: Subject) -> None:
            assert isinstance(subject.record, STTRecord)
            stt = subject.make()
            chosen = stt.input_formats()[0]
            await stt.connect(chosen)
            told: list[STTEvent] = []
            reading = asyncio.ensure_future(_read(stt, told))
            try:
                await self._say(stt, chosen)
                await _until(lambda: _finals(told) == 1, FINAL_S)
                some = self.speech(chosen)[: chosen.bytes_for_ms(200)]
                await _taken(stt.send_audio(some))
                await self.drop_connection()
                if subject.record.reconnects:
                    await self._say(stt, chosen)
                    await _until(lambda: _finals(told) == 2, FINAL_S)
                else:
                    await _until(reading.done, NOTICED_S)
                    assert isinstance(reading.exception(), ProviderDisconnected)
                    assert _finals(told) == 1
                    with pytest.raises(ProviderDisconnected):
                        await _taken(stt.send_audio(some))
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                await closed(stt)
            another = subject.make()
            events = await self.recognise(another)
            assert _finals(events) == 1
            self._assert_understood(events)
            await closed(another)

        self.run(server, check)

    def test_receiving_ends_quietly_when_it_is_closed(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            stt = subject.make()
            await stt.connect(stt.input_formats()[0])

            async def read() -> list[STTEvent]:
                return [event async for event in stt.receive()]

            reading = asyncio.ensure_future(read())
            await asyncio.sleep(0.01)
            await closed(stt)
            async with asyncio.timeout(1.0):
                assert await reading == []

        self.run(server, check)


async def _taken(sending: Any) -> None:
    if sending is not None and inspect.isawaitable(sending):
        await sending


def _finals(events: Sequence[STTEvent]) -> int:
    return sum(isinstance(event, Final) for event in events)


async def _read(stt: STT, told: list[STTEvent]) -> None:
    """Keep what it tells until it ends or raises."""
    async for event in stt.receive():
        told.append(event)  # noqa: PERF401 - what was told before an exception counts


async def _until(holds: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - of a provider that has nothing to wait for
            await asyncio.sleep(0.01)
