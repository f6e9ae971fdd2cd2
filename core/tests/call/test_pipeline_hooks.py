"""Pipeline hooks: what each can change and drop (TN-15)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import PipelineContext, PipelineHooks
from patter.audio.formats import MULAW_8K
from patter.providers.llm import Message
from patter.providers.stt import Final
from patter.testing import CallTool, Reply


def agent_lines(call: Any) -> list[str]:
    return [entry.text for entry in call.transcript if entry.role == "assistant"]


def spoken(call: Any) -> list[str]:
    return list(call.scene.voice.spoken)


# -- what each may do


@pytest.mark.behaviour("TN-15")
async def test_a_frame_may_be_changed_or_dropped_before_the_stt(simcall: Any) -> None:
    class Deaf(PipelineHooks):
        mode = "drop"
        frames: list[int]

        def before_send_to_stt(self, audio: bytes, context: PipelineContext) -> bytes | None:
            self.frames.append(len(audio))
            if self.mode == "drop":
                return None
            assert context.stt_format is not None
            silence = context.stt_format.silence(context.stt_format.samples(len(audio)))
            return silence if self.mode == "silence" else audio

    hooks = Deaf()
    hooks.frames = []
    async with simcall(pipeline=hooks) as call:
        await call.caller_says("Do you hear me?")
        hooks.mode = "silence"
        await call.caller_says("Do you hear me now?")
        assert not [one for one in call.scene.recogniser.events if isinstance(one, Final) and one.text]
        hooks.mode = "pass"
        await call.caller_says("And now?")
        await call.agent_says("You said: And now?")
    assert set(hooks.frames) == {MULAW_8K.bytes_for_ms(20)}
    assert [entry.text for entry in call.transcript if entry.role == "user"] == ["And now?"]


@pytest.mark.behaviour("TN-15")
async def test_what_was_said_may_be_changed_or_skipped(simcall: Any) -> None:
    class Editor(PipelineHooks):
        async def after_transcribe(self, text: str, context: PipelineContext) -> str | None:
            await asyncio.sleep(0.01)
            return None if "never mind" in text else text.replace("four two", "42")

    async with simcall(pipeline=Editor()) as call:
        await call.caller_says("never mind")
        await call.quiet(2000)
        assert call.scene.model.requests == []
        assert call.call.history == ()
        await call.caller_says("Table four two, please.")
        await call.agent_says("You said: Table 42, please.")
    assert [entry.text for entry in call.transcript] == [
        "never mind",
        "Table 42, please.",
        "You said: Table 42, please.",
    ]


@pytest.mark.behaviour("TN-15")
async def test_the_messages_of_a_request_may_be_changed_and_the_history_is_not(simcall: Any) -> None:
    class Adds(PipelineHooks):
        def before_llm(self, messages: list[Message], context: PipelineContext) -> None:
            messages.insert(1, Message("system", "It is raining."))

    class Replaces(PipelineHooks):
        async def before_llm(self, messages: list[Message], context: PipelineContext) -> list[Message]:
            return [messages[0], Message("user", "Say hello.")]

    async with simcall(pipeline=Adds(), system_prompt="Be kind.", disable_phone_preamble=True) as call:
        await call.caller_says("How is the weather?")
        await call.agent_says("You said:")
        (messages,) = call.scene.model.requests
        assert [one.content for one in messages] == ["Be kind.", "It is raining.", "How is the weather?"]
        assert [one.content for one in call.call.history] == ["How is the weather?"]
    async with simcall(pipeline=Replaces()) as call:
        await call.caller_says("How is the weather?")
        await call.agent_says("You said: Say hello.")


@pytest.mark.behaviour("TN-15")
async def test_the_models_text_may_be_changed_piece_by_piece_and_sentence_by_sentence(simcall: Any) -> None:
    class Edits(PipelineHooks):
        whole: list[str]

        def on_chunk(self, text: str, context: PipelineContext) -> str | None:
            return None if text.startswith("um,") else text.replace("color", "colour")

        async def on_sentence(self, text: str, context: PipelineContext) -> str | None:
            await asyncio.sleep(0)
            return None if "secret" in text else text.upper()

        async def on_response(self, text: str, context: PipelineContext) -> None:
            self.whole.append(text)

    hooks = Edits()
    hooks.whole = []
    reply = "My um, favourite color is green. But my favourite animal is secret. And that is all of it."
    async with simcall(pipeline=hooks, first_message="welcome, caller.", replies=[reply]) as call:
        await call.agent_says("welcome, caller.")  # a fixed text is not the model's
        await call.caller_says("Tell me about you.")
        await call.agent_says("AND THAT IS ALL OF IT.")
        await call.quiet(500)
    said = ["MY FAVOURITE COLOUR IS GREEN.", "AND THAT IS ALL OF IT."]
    assert spoken(call)[1:] == said
    assert agent_lines(call)[1:] == [" ".join(said)]
    assert hooks.whole == [reply.replace("um, ", "").replace("color", "colour")]


@pytest.mark.behaviour("TN-15")
async def test_the_whole_reply_is_told_once_whatever_tools_it_called(simcall: Any) -> None:
    class Whole(PipelineHooks):
        told: list[str]

        def on_response(self, text: str, context: PipelineContext) -> None:
            self.told.append(text)

        def on_sentence(self, text: str, context: PipelineContext) -> str:
            return text.replace("look", "see")

    hooks = Whole()
    hooks.told = []
    replies = [Reply("Let me look that up. ", tools=[CallTool("no_such_tool")]), "It is all there."]
    async with simcall(pipeline=hooks, replies=replies) as call:
        await call.caller_says("Is it there?")
        await call.agent_says("It is all there.")
        await call.quiet(500)
    assert hooks.told == ["Let me look that up. It is all there."]
    (called,) = [one for one in call.scene.model.requests[1] if one.tool_calls]
    assert called.content == "Let me see that up."  # what the caller hears of it


@pytest.mark.behaviour("TN-15")
async def test_a_sentence_may_be_changed_or_skipped_before_the_voice(simcall: Any) -> None:
    class Pronounces(PipelineHooks):
        async def before_synthesize(self, text: str, context: PipelineContext) -> str | None:
            return None if "unspeakable" in text else text.replace("Acme", "Ack-mee")

    replies = ["This is Acme, the company. This one is unspeakable. How can we help you?"]
    async with simcall(pipeline=Pronounces(), first_message="Hello from Acme.", replies=replies) as call:
        await call.agent_says("Hello from Ack-mee.")
        await call.caller_says("Who is this?")
        await call.agent_says("How can we help you?")
        await call.quiet(500)
    assert spoken(call) == ["Hello from Ack-mee.", "This is Ack-mee, the company.", "How can we help you?"]
    # what was spoken is what is remembered
    assert agent_lines(call) == ["Hello from Ack-mee.", "This is Ack-mee, the company. How can we help you?"]


@pytest.mark.behaviour("TN-15")
async def test_a_piece_of_audio_may_be_dropped(simcall: Any) -> None:
    first, second = "Nobody will hear this at all.", "But this everybody will hear."
    pieces = -(-len(first) * 60 // 100)  # 60 ms a character in pieces of 100 ms

    class Mutes(PipelineHooks):
        sizes: list[int]

        def after_synthesize(self, audio: bytes, context: PipelineContext) -> bytes | None:
            assert context.carrier_format == MULAW_8K
            self.sizes.append(len(audio))
            return None if len(self.sizes) <= pieces else audio

    hooks = Mutes()
    hooks.sizes = []
    async with simcall(pipeline=hooks, replies=[f"{first} {second}"]) as call:
        await call.caller_says("Hello?")
        await call.agent_says("everybody will hear.")
        await call.quiet(500)
    assert spoken(call) == [first, second]
    assert call.heard == second
    assert agent_lines(call) == [second]
    assert sum(hooks.sizes) == MULAW_8K.bytes_for_ms(60 * len(first + second))


@pytest.mark.behaviour("TN-15")
async def test_a_piece_of_audio_may_be_changed(simcall: Any) -> None:
    class Shortens(PipelineHooks):
        def after_synthesize(self, audio: bytes, context: PipelineContext) -> bytes | None:
            return audio[:480]  # of 800

    text = "This is said in less time."
    async with simcall(pipeline=Shortens(), first_message=text) as call:
        await call.quiet(500)
        lines = [one for one in call.timeline if one.who == "agent"]
    assert lines[-1].end - lines[0].start == pytest.approx(len(text) * 0.06 * 0.6, abs=0.03)
    assert agent_lines(call) == [text]
