"""Two-track recordings on disk: 8 kHz, 16 bits, caller left, agent right."""

from pathlib import Path


class Recordings:
    """The folder of recordings. Paths handed out are relative to it, e.g. ``2026/07/14/CALL.wav``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, recording: str) -> Path:
        """Return the file of a call's ``recording``, for reading.

        Raises:
            RecordingUnavailable: there is none.
        """
        raise NotImplementedError

    def peaks(self, recording: str, n: int = 800) -> dict[str, list[float]]:
        """Return the loudest sample in each of ``n`` slices, 0 … 1, by side; computed once, kept beside the file."""
        raise NotImplementedError
