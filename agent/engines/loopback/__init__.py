"""An engine that repeats the caller: for load tests and for listening to the line itself."""

from collections.abc import Mapping

from agent.duplex import EngineUnavailable
from agent.engines.loopback.engine import LoopbackEngine

__all__ = ["LoopbackEngine", "create"]

_DEFAULT_SLOTS = 100


def create(options: Mapping[str, str]) -> LoopbackEngine:
    """Read ``engine_slots`` (0 or absent: 100) and ``delay_frames`` (absent: 0).

    Raises:
        EngineUnavailable: one of them is not a whole number from 0 up.
    """
    return LoopbackEngine(_count(options, "engine_slots") or _DEFAULT_SLOTS, _count(options, "delay_frames"))


def _count(options: Mapping[str, str], name: str) -> int:
    text = options.get(name) or "0"
    if not text.isdecimal():
        raise EngineUnavailable(f"The engine option {name} must be a whole number from 0 up, not {text!r}.")
    return int(text)
