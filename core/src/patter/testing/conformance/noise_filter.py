"""What a noise filter must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from patter.audio.mixing import level_dbfs
from patter.providers.noise_filter import NoiseFilter
from patter.records import ProviderKind
from patter.testing.conformance.common import Conformance
from patter.testing.conformance.subject import Server, Subject, closed

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _noise(samples: int) -> NDArray[Any]:
    return np.random.default_rng(11).integers(-6000, 6000, samples).astype(np.int16)


class NoiseFilterConformance(Conformance):
    """Checks of `patter.providers.noise_filter.NoiseFilter`."""

    kind: ClassVar[ProviderKind] = "noise_filter"

    async def work(self, provider: Any) -> None:
        """Filter half a second."""
        for _ in range(25):
            assert len(provider.process(_noise(160), 8000)) == 160

    @pytest.mark.parametrize("rate", [8000, 16000])
    @pytest.mark.parametrize("frame_ms", [10, 20, 30, 40])
    def test_a_frame_keeps_its_length_and_the_input_its_samples(
        self, server: Server, rate: int, frame_ms: int
    ) -> None:
        async def check(subject: Subject) -> None:
            noise_filter = subject.make()
            assert isinstance(noise_filter, NoiseFilter)
            for _ in range(20):
                frame = _noise(rate * frame_ms // 1000)
                copy = frame.copy()
                result = noise_filter.process(frame, rate)
                assert result.shape == frame.shape
                assert result.dtype == np.int16
                assert np.array_equal(frame, copy)
            await closed(noise_filter)

        self.run(server, check)

    def test_the_rate_may_change(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            noise_filter = subject.make()
            for rate in (8000, 16000, 8000):
                for _ in range(10):
                    assert len(noise_filter.process(_noise(rate // 50), rate)) == rate // 50
            await closed(noise_filter)

        self.run(server, check)

    def test_silence_stays_silence(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            noise_filter = subject.make()
            silence = np.zeros(160, np.int16)
            heard = np.concatenate([noise_filter.process(silence, 8000) for _ in range(100)])
            assert level_dbfs(heard) <= -80
            await closed(noise_filter)

        self.run(server, check)

    def test_reset_forgets_what_was_heard(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            fresh, used = subject.make(), subject.make()
            for _ in range(50):
                used.process(_noise(160), 8000)
            used.reset()
            frames = [_noise(160) // 8 for _ in range(30)]
            for frame in frames:
                assert np.array_equal(fresh.process(frame, 8000), used.process(frame, 8000))
            await closed(fresh)
            await closed(used)

        self.run(server, check)

    def test_the_delay_is_declared(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            noise_filter = subject.make()
            assert 0 <= noise_filter.latency_ms <= 100
            await closed(noise_filter)

        self.run(server, check)
