"""What can be set about the speech-to-speech engine."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from pydantic import Field

from patter.plugins.vendor_fields import socket_address
from patter_openai.config import OpenAIServerConfig


class OpenAIRealtimeConfig(OpenAIServerConfig):
    """A model that hears and speaks, its voice, and how it finds the caller's turns."""

    model: str = Field(
        default="gpt-realtime-2.1", min_length=1, max_length=200, description="name of the model"
    )
    voice: str = Field(default="marin", min_length=1, max_length=200, description="name of the voice")
    speed: float | None = Field(
        default=None, ge=0.25, le=1.5, description="how fast it speaks; unset: the server's own"
    )
    audio_format: Literal["auto", "pcmu", "pcma", "pcm"] = Field(
        default="auto", description="audio both ways; auto: the carrier's own G.711, else PCM at 24 kHz"
    )
    turn_detection: Literal["server_vad", "semantic_vad"] = Field(
        default="server_vad",
        description="how it finds the end of the caller's turn: by silence, or by meaning",
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="server_vad: how loud speech has to be, from 0 to 1"
    )
    prefix_padding_ms: int = Field(
        default=300, ge=0, le=5_000, description="server_vad: audio kept from before the speech, in ms"
    )
    silence_duration_ms: int = Field(
        default=300, ge=0, le=10_000, description="server_vad: silence that ends a turn, in ms"
    )
    idle_timeout_ms: int | None = Field(
        default=None,
        ge=5_000,
        le=30_000,
        description="server_vad: silence after a reply that makes the model ask, in ms; unset: never",
    )
    eagerness: Literal["low", "medium", "high", "auto"] = Field(
        default="auto", description="semantic_vad: how soon it takes a turn for over"
    )
    create_response: bool = Field(
        default=True, description="whether it answers by itself where Patter leaves that to engines (RT-24)"
    )
    interrupt_response: bool = Field(
        default=True, description="whether the caller's speech stops it by itself, in the same cases"
    )
    transcription: bool = Field(default=True, description="whether the caller's words are transcribed")
    transcription_model: str = Field(
        default="gpt-transcribe", min_length=1, max_length=200, description="by which model"
    )
    transcription_prompt: str = Field(
        default="", max_length=10_000, description="words that the transcription should expect"
    )
    noise_reduction: Literal["near_field", "far_field"] | None = Field(
        default=None, description="the server's noise reduction; unset: none"
    )
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = Field(
        default=None, description="for models that reason; unset: the server's own"
    )
    max_output_tokens: int | None = Field(
        default=None, ge=1, le=4096, description="longest reply, in tokens; unset: no limit"
    )
    connect_s: float = Field(default=8.0, gt=0, le=60, description="time until the session is open, in s")

    @property
    def socket_url(self) -> str:
        """The address of the socket, with the model."""
        return f"{socket_address(self.base_url)}/realtime?model={quote(self.model, safe='')}"
