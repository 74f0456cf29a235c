"""Voice activity: the caller's frames as the phone carried them, and what every 32 ms of them sound like.

80 ms at 24 kHz ──▶ low-pass, every third sample ──▶ 8 kHz ──▶ Silero + level + spectrum ──▶ Window …
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin

from agent.duplex import SAMPLE_HZ, EngineUnavailable, Samples
from agent.engines.cascade.ports import PHONE_HZ, Pcm8k

WINDOW_MS = 32
_WINDOW = PHONE_HZ * WINDOW_MS // 1000
_CONTEXT = 32  # samples of the window before that Silero wants in front at 8 kHz
_DECIMATE = SAMPLE_HZ // PHONE_HZ
_QUIET_PROBABILITY = 0.1
_QUIET_WINDOWS = 5
_NOISE_SHARE = 0.1
_LINE_POWER = np.array([1e-6, 1e-4, 1e-4])
_NO_POWER = np.array([1e-10, 1e-6, 1e-6])
_RESET_WINDOWS = 2_000 // WINDOW_MS
"""Noise and long silence shift Silero's memory until it misses speech; so it is cleared every two
seconds, but only where the line is clearly quiet (pipecat.audio.vad.silero does the same)."""

_TAPS = np.asarray(firwin(49, 3_700, fs=SAMPLE_HZ), np.float32)
_BINS_HZ = np.fft.rfftfreq(_WINDOW, 1 / PHONE_HZ)
_LOW = (_BINS_HZ >= 150) & (_BINS_HZ < 800)
_HIGH = (_BINS_HZ >= 1_000) & (_BINS_HZ < 3_500)
_HANN = np.hanning(_WINDOW).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """32 ms of the caller.

    ``end_ms`` is session time; ``probability`` Silero's, that this is speech; ``level_db`` the RMS in
    dB of full scale, ``over_noise_db`` over the line's own noise; ``tilt_db`` the power of 1-3.5 kHz over
    that of 150-800 Hz, noise taken off: hums lie under -25 dB.
    """

    end_ms: int
    probability: float
    level_db: float
    over_noise_db: float
    tilt_db: float


class Silero:
    """The voice activity model that pipecat's wheel holds; one for all calls, their memory is their own.

    Raises:
        EngineUnavailable: onnxruntime or the model is not installed.
    """

    def __init__(self) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise EngineUnavailable(
                "The cascade needs the package 'onnxruntime', which is not installed; install parley[cascade]."
            ) from error
        spec = find_spec("pipecat")  # found, not imported: importing it costs a second
        path = Path(spec.origin or "").parent / "audio/vad/data/silero_vad.onnx" if spec else None
        if path is None or not path.is_file():
            raise EngineUnavailable("The cascade does not find Silero's model in pipecat-ai; install pipecat-ai 1.14.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._rate = np.array(PHONE_HZ, dtype=np.int64)

    def __call__(self, samples: Samples, memory: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
        """Judge one window with its context, [_CONTEXT + _WINDOW]; return the probability and the new memory."""
        output = self._model.run(None, {"input": samples[None], "state": memory, "sr": self._rate})
        return float(np.asarray(output[0])[0, 0]), np.asarray(output[1])


class VoiceActivity:
    """The ears of one call. Not thread-safe: one frame after the other."""

    def __init__(self, silero: Silero) -> None:
        self._silero = silero
        self._tail = np.zeros(len(_TAPS) - 1, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._heard_windows = 0
        self._noise = _LINE_POWER.copy()  # what the line holds while nobody speaks: all of it, _LOW, _HIGH
        self._reset()

    def hear(self, frame: Samples) -> tuple[Pcm8k, list[Window]]:
        """Take one frame, [FRAME_SAMPLES]; return its 8 kHz samples and the windows that it completes."""
        joined = np.concatenate([self._tail, np.nan_to_num(frame.astype(np.float32, copy=False))])
        self._tail = joined[len(joined) - len(self._tail) :]
        narrow = np.convolve(joined, _TAPS, "valid")[::_DECIMATE]
        pcm = np.clip(narrow * 32_768, -32_768, 32_767).astype(np.int16)
        waiting = np.concatenate([self._rest, pcm.astype(np.float32) / np.float32(32_768)])
        count = len(waiting) // _WINDOW
        self._rest = waiting[count * _WINDOW :]
        return pcm, [self._judge(waiting[n * _WINDOW : (n + 1) * _WINDOW]) for n in range(count)]

    def _judge(self, samples: Samples) -> Window:
        probability, self._memory = self._silero(np.concatenate([self._context, samples]), self._memory)
        self._context = samples[-_CONTEXT:]
        self._heard_windows += 1
        self._quiet_windows = self._quiet_windows + 1 if probability < _QUIET_PROBABILITY else 0
        self._since_reset += 1
        if self._since_reset >= _RESET_WINDOWS and self._quiet_windows >= _QUIET_WINDOWS:
            self._reset()
        spectrum = np.abs(np.fft.rfft(samples * _HANN)) ** 2
        power = np.array([np.mean(samples**2), spectrum[_LOW].sum(), spectrum[_HIGH].sum()]) + _NO_POWER
        if probability < _QUIET_PROBABILITY:
            self._noise += _NOISE_SHARE * (power - self._noise)
        level_db, _, _ = 10 * np.log10(power)
        over_noise_db = level_db - 10 * np.log10(self._noise[0])
        _, low, high = np.maximum(power - 2 * self._noise, _NO_POWER)
        tilt_db = 10 * np.log10(high / low)
        at_ms = self._heard_windows * WINDOW_MS
        return Window(at_ms, probability, float(level_db), float(over_noise_db), float(tilt_db))

    def _reset(self) -> None:
        self._memory = np.zeros((2, 1, 128), np.float32)
        self._since_reset = 0
        self._quiet_windows = 0
