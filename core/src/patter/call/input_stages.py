"""Which stages of the input chain an agent asks for, and their making for one call.

The code of a stage is imported when the plan is made, and only if the agent has it on (PW-20).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from patter.call.input_chain import InputStages, Process, chain_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.agent import Agent
    from patter.audio.formats import AudioFormat
    from patter.call.echo_reference import EchoReference
    from patter.providers.noise_filter import NoiseFilter


def gain_target_dbfs(agent: Agent) -> float | None:
    """The level that the agent's gain control aims at; None when it is off."""
    if agent.gain_control is False:
        return None
    if agent.gain_control is True:
        from patter.audio.gain_control import NOMINAL_DBFS

        return NOMINAL_DBFS
    return agent.gain_control


def import_stages(agent: Agent) -> None:
    """Import the code of the stages that are on."""
    for module, is_on in (
        ("audio.high_pass", agent.high_pass_hz is not None),
        ("call.echo_reference", agent.echo_cancellation),
        ("audio.gain_control", agent.gain_control is not False),
    ):
        if is_on:
            import_module(f"patter.{module}")


def has_stages(agent: Agent, noise_filter: object) -> bool:
    """Whether any stage is on."""
    return (
        noise_filter is not None
        or agent.echo_cancellation
        or agent.high_pass_hz is not None
        or agent.gain_control is not False
    )


class InputChainParts(NamedTuple):
    """What the input chain of one call is made of; all None when no stage is on."""

    stages: InputStages | None
    #: what the echo canceller compares with, to be told of the agent's audio
    reference: EchoReference | None


def make_stages(
    agent: Agent,
    carrier_format: AudioFormat,
    stt_format: AudioFormat | None,
    noise_filter: NoiseFilter | None,
    clock: tuple[Callable[[], float], Callable[[], float]],
) -> InputChainParts:
    """The stages of one call. `clock` is what `EchoReference` is told of time: the clock in s and the lag in ms."""
    if not has_stages(agent, noise_filter):
        return InputChainParts(None, None)
    rate = chain_rate(carrier_format, stt_format)
    high_pass: Process | None = None
    if agent.high_pass_hz is not None:
        from patter.audio.high_pass import HighPass

        high_pass = HighPass(agent.high_pass_hz, carrier_format.rate).process
    reference: EchoReference | None = None
    echo: Process | None = None
    if agent.echo_cancellation:
        from patter.call.echo_reference import EchoReference, EchoStage

        reference = EchoReference(carrier_format, rate, *clock)
        echo = EchoStage(reference, rate).process
    gain: Process | None = None
    target_dbfs = gain_target_dbfs(agent)
    if target_dbfs is not None:
        from patter.audio.gain_control import GainControl

        gain = GainControl(target_dbfs, rate).process
    stages = InputStages(rate, high_pass, echo, _filtering(noise_filter, rate), gain)
    return InputChainParts(stages, reference)


def _filtering(noise_filter: NoiseFilter | None, rate: int) -> Process | None:
    if noise_filter is None:
        return None
    process = noise_filter.process

    def filtered(pcm: NDArray[Any]) -> NDArray[Any]:
        return process(pcm, rate)

    return filtered
