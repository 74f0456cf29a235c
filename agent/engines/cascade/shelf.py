"""Files made from role cards, kept across restarts: whole or not there, the least used thrown away.

put: data ─▶ name.part ─▶ name, its digest ─▶ name.sum        find: name and name.sum agree ─▶ path
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

_MOST = 96
"""Files kept, three for a card; the largest, language models, are of some 5 MB."""
_YOUNG_S = 300.0
"""Younger files are never thrown away: somebody may be about to read them."""


def shelf_folder(options: Mapping[str, str]) -> Path | None:
    """Return where files made from cards are kept, below the option ``data_dir``; None without it."""
    return Path(options["data_dir"]) / "cascade" if options.get("data_dir") else None


class Shelf:
    """A folder of files by name. Several processes may use it at once; what one half wrote no other reads."""

    def __init__(self, folder: Path, most: int = _MOST) -> None:
        self._folder, self._most = folder, most

    def find(self, name: str) -> Path | None:
        """Return where ``name`` lies, if it lies there as it was put; marks it as used."""
        path = self._folder / name
        try:
            if path.with_name(f"{name}.sum").read_text(encoding="ascii") != _digest(path.read_bytes()):
                return None
            os.utime(path)
        except (OSError, UnicodeDecodeError):
            return None
        return path

    def put(self, name: str, data: bytes) -> Path:
        """Keep ``data`` as ``name``; return where it lies.

        Raises:
            OSError: the folder can't be written to.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for file, content in ((name, data), (f"{name}.sum", _digest(data).encode())):
            part = self._folder / f"{file}.{os.getpid()}.part"
            part.write_bytes(content)
            part.replace(self._folder / file)
        self._tidy()
        return self._folder / name

    def _tidy(self) -> None:
        """Throw away what was not used for longest, beyond ``most`` files, and parts that nobody finished."""
        old = time.time() - _YOUNG_S
        used = {path: _used(path) for path in self._folder.iterdir() if path.suffix != ".sum"}
        parts = [path for path in used if path.suffix == ".part"]
        kept = sorted(used.keys() - set(parts), key=lambda path: used[path], reverse=True)
        for path in (*parts, *kept[self._most :]):
            if used[path] < old:
                path.unlink(missing_ok=True)
                path.with_name(f"{path.name}.sum").unlink(missing_ok=True)


def _used(path: Path) -> float:
    """Return when ``path`` was last used, in seconds of the epoch; 0 when another process threw it away."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
