"""What differs between two role cards, field by field, for people to read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from personas.persona import PersonaCard


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; ``old`` or ``new`` is None where the field is missing on that side.

    ``field`` names parts by their id, e.g. ``facts.closing_time.value``. Lists of text are compared whole.
    """

    field: str
    old: str | tuple[str, ...] | None
    new: str | tuple[str, ...] | None


def changes(old: PersonaCard, new: PersonaCard) -> list[Change]:
    """Return the differences in the order of ``new``'s fields; what was removed comes last in its list."""
    return list(_compare("", old.model_dump(mode="json"), new.model_dump(mode="json")))


def _compare(field: str, old: Any, new: Any) -> Iterator[Change]:
    old, new = _by_name(old), _by_name(new)
    if isinstance(old, dict) or isinstance(new, dict):
        old, new = old or {}, new or {}
        for key in [*new, *(key for key in old if key not in new)]:
            yield from _compare(f"{field}.{key}" if field else key, old.get(key), new.get(key))
    elif old != new:
        yield Change(field, _text(old), _text(new))


def _by_name(value: Any) -> Any:
    """Turn a list of facts, rules, menu keys or test questions into fields named by their ids."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return {part.get("id") or part.get("kind") or part["digit"]: part for part in value}
    return value or None


def _text(value: Any) -> str | tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else value
