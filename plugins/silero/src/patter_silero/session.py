"""The ONNX session of Silero: loading it, and running it on a batch."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from patter.errors import ConfigError, InternalError

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

BUNDLED = Path(__file__).parent / "data" / "silero_vad.onnx"

#: samples of a window and of the context before it, by rate; 32 ms and 4 ms
WINDOW = {8000: 256, 16000: 512}
CONTEXT = {8000: 32, 16000: 64}
STATE_SHAPE = (2, 128)

_TENSORS = ["input", "sr", "state"]
# Sizes on both sides of the blocks of rows that matrix kernels work in, and the largest that core asks for.
_PROBED_SIZES = (2, 3, 4, 5, 7, 8, 12, 13, 16, 17, 64)
_PROBED_ROWS = 17


class SileroSession:
    """One loaded model, shared by every call of a process; holds no state of a call.

    Raises:
        ConfigError: onnxruntime or the model file is missing, or the file is not a Silero model of version 5 or 6.
    """

    def __init__(self, file: Path = BUNDLED) -> None:
        self._file = file
        self._session: Any = _load(file)
        self._rates = {rate: np.array(rate, dtype=np.int64) for rate in WINDOW}
        self._batches = all(self._rows_are_independent(rate) for rate in WINDOW)
        if not self._batches:
            log.warning(
                "onnxruntime on this processor gives other results for a batch than for a single window; "
                "Silero judges the windows of concurrent calls one by one, which costs about three times as much"
            )

    def infer(
        self, windows: NDArray[np.float32], states: NDArray[np.float32], rate: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities ``[B]`` and new states ``[B, 2, 128]`` of windows ``[B, context + window]`` scaled to ±1.

        Raises:
            ConfigError: a rate other than 8000 or 16000 Hz.
            InternalError: shapes that the model would take without a word and judge wrongly; or it is closed.
        """
        _check(windows, states, rate)
        if self._session is None:
            raise InternalError("the Silero model was used after it was closed")
        if self._batches:
            return self._run(windows, states, rate)
        rows = [self._run(windows[i : i + 1], states[i : i + 1], rate) for i in range(len(windows))]
        return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])

    def close(self) -> None:
        """Let go of the model. Idempotent."""
        self._session = None

    def _run(
        self, windows: NDArray[np.float32], states: NDArray[np.float32], rate: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # The model wants the batch in the middle of the state, core keeps it in front.
        feed = {
            "input": np.ascontiguousarray(windows),
            "state": np.ascontiguousarray(states.transpose(1, 0, 2)),
            "sr": self._rates[rate],
        }
        output, state = self._session.run(["output", "stateN"], feed)
        return output[:, 0], state.transpose(1, 0, 2)

    def _rows_are_independent(self, rate: int) -> bool:
        """Whether a batch gives each row bit for bit what it gets alone (SP-15).

        That is so where it was measured (x86-64 with AVX-512), but which kernels run, and with them the order of
        the additions, is onnxruntime's choice by processor and batch size; so it is looked up, in about 10 ms.
        """
        samples = WINDOW[rate] + CONTEXT[rate]
        # Loud, quiet and digitally silent rows that differ from each other; any fixed signal would do.
        phase = np.arange(_PROBED_ROWS * samples, dtype=np.float64).reshape(_PROBED_ROWS, samples)
        levels = (np.arange(_PROBED_ROWS) % 5 / 8)[:, None]
        windows = (np.sin(phase * phase * 1e-3) * levels).astype(np.float32)
        states = (
            np.cos(np.arange(_PROBED_ROWS * 256.0)).reshape(_PROBED_ROWS, *STATE_SHAPE).astype(np.float32)
        )
        alone = [self._run(windows[i : i + 1], states[i : i + 1], rate) for i in range(_PROBED_ROWS)]
        for size in _PROBED_SIZES:
            rows = np.arange(size) % _PROBED_ROWS
            together = self._run(windows[rows], states[rows], rate)
            for part in (0, 1):
                if not np.array_equal(together[part], np.concatenate([alone[row][part] for row in rows])):
                    return False
        return True


def _check(windows: NDArray[np.float32], states: NDArray[np.float32], rate: int) -> None:
    # The graph takes any length between about 160 and 320 samples at 8 kHz, and any rate, and answers nonsense.
    if rate not in WINDOW:
        raise ConfigError(f"Silero hears audio at 8000 or 16000 Hz, not at {rate} Hz: resample before it")
    rows = len(windows)
    if windows.shape != (rows, WINDOW[rate] + CONTEXT[rate]) or windows.dtype != np.float32:
        raise InternalError(f"Silero got windows of {windows.shape} {windows.dtype} at {rate} Hz")
    if states.shape != (rows, *STATE_SHAPE) or states.dtype != np.float32:
        raise InternalError(f"Silero got states of {states.shape} {states.dtype} for {rows} windows")


def _load(file: Path) -> Any:
    try:
        # onnxruntime 1.32 collects usage in a database of its own, which it opens at import, unless told not to:
        # no telemetry leaves a machine through Patter (SC-10).
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"the VAD 'silero' needs onnxruntime, which cannot be imported ({error}): pip install onnxruntime"
        ) from error
    if not file.is_file():
        what = (
            "reinstall patter-silero"
            if file == BUNDLED
            else "correct the setting `weights` of the VAD 'silero'"
        )
        raise ConfigError(f"the Silero model file {file} does not exist: {what}")
    try:
        session = onnxruntime.InferenceSession(
            str(file), _options(onnxruntime), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        raise ConfigError(f"onnxruntime cannot load the Silero model file {file}: {error}") from error
    names = sorted(tensor.name for tensor in session.get_inputs())
    if names != _TENSORS:
        raise ConfigError(
            f"{file} is not a Silero VAD model of version 5 or 6 for 8 and 16 kHz: "
            f"its inputs are {', '.join(names)}, not {', '.join(_TENSORS)}"
        )
    return session


def _options(onnxruntime: Any) -> Any:
    """One thread that never spins: the work of a window is smaller than waking a second one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; they reach us as exceptions too
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
