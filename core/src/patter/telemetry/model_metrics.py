"""Metrics of language models by OpenTelemetry's conventions for generative AI; they go where the application's go."""

from __future__ import annotations

from opentelemetry import metrics

from patter._version import __version__
from patter.telemetry import attributes as names


class ModelMetrics:
    """The instruments of the process's meter provider; without one of the application nothing is recorded."""

    def __init__(self) -> None:
        meter = metrics.get_meter("patter", __version__)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", unit="{token}", description="Tokens that a request used."
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", unit="s", description="How long a request took."
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", unit="s", description="Until its first chunk."
        )

    def request(self, provider: str, model: str, duration_s: float, first_chunk_s: float | None) -> None:
        """A request to a model is over; `first_chunk_s` is None when no text came."""
        about = self._about(provider, model)
        self._duration.record(max(0.0, duration_s), about)
        if first_chunk_s is not None:
            self._first_chunk.record(max(0.0, first_chunk_s), about)

    def tokens(self, provider: str, model: str, input_tokens: int, output_tokens: int) -> None:
        """What the vendor counted, or Patter where it did not."""
        about = self._about(provider, model)
        self._tokens.record(max(0, input_tokens), {**about, names.TOKEN_TYPE: "input"})
        self._tokens.record(max(0, output_tokens), {**about, names.TOKEN_TYPE: "output"})

    def _about(self, provider: str, model: str) -> dict[str, str]:
        about = {names.OPERATION: "chat", names.PROVIDER: provider}
        return {**about, names.MODEL: model} if model else about
