"""Reads role cards from YAML, and writes them."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from personas.errors import CardError
from personas.persona import PersonaCard
from personas.voices import check_voice

_MAX_BYTES = 1_000_000


class _Loader(yaml.BaseLoader):
    """YAML in which every scalar is text, so that 7:30 is no number and "no" no truth value."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for place, key in enumerate(keys):
        if not isinstance(key, str) or key in keys[:place]:
            mark = node.value[place][0].start_mark
            raise CardError(f"line {mark.line + 1}: the field {key!r} is no name or stands twice; keep one.")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_cards(paths: Iterable[Path], own_voices: Collection[str] = ()) -> list[PersonaCard]:
    """Read several cards, which may ask for published voices and for ``own_voices``.

    Raises:
        CardError: like ``load_card``, or two files hold the same slug.
    """
    cards: dict[str, tuple[PersonaCard, Path]] = {}
    for path in paths:
        card = load_card(path, own_voices)
        if card.slug in cards:
            raise CardError(f"{path}: slug: {card.slug!r} is taken by {cards[card.slug][1]}; give each card its own.")
        cards[card.slug] = (card, path)
    return [card for card, _ in cards.values()]


def load_card(path: Path, own_voices: Collection[str] = ()) -> PersonaCard:
    """Read one card.

    Raises:
        CardError: with the file, the field's path and the remedy.
    """
    content = read_mapping(path)
    try:
        return _card(content, own_voices)
    except CardError as error:
        raise CardError(f"{path}: {error}") from error


def parse_card(text: str, own_voices: Collection[str] = ()) -> PersonaCard:
    """Read a card from YAML text.

    Raises:
        CardError: with the line or the field's path, and the remedy.
    """
    return _card(_parse(text), own_voices)


def card_text(card: PersonaCard) -> str:
    """Return the card as YAML that ``parse_card`` reads; fields at their defaults, but for the voice, are left out."""
    content = card.model_dump(mode="json", exclude_defaults=True)
    content = {name: content.get(name, card.voice) for name in type(card).model_fields if name in (*content, "voice")}
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes lists indented, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _card(content: dict[str, Any], own_voices: Collection[str]) -> PersonaCard:
    try:
        card = PersonaCard.model_validate(content)
    except ValidationError as error:
        raise CardError(_first_problem(error, content)) from error
    check_voice(card.voice, own_voices)
    return card


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the fields of a YAML file, every scalar as text; raises like ``load_card``."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CardError("the file is larger than 1 MB; a role card is a few thousand characters.")
        return _parse(path.read_text("utf-8"))
    except CardError as error:
        raise CardError(f"{path}: {error}") from error
    except OSError as error:
        raise CardError(f"{path}: the file can't be read ({error.strerror}); check its name.") from error
    except UnicodeDecodeError as error:
        raise CardError(f"{path}: the file is not UTF-8 text; save it as UTF-8.") from error


def _parse(text: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 (BaseLoader makes nothing but text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CardError(f"line {line}: a character that can't be spoken or shown; remove it.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "no YAML"
        raise CardError(f"{line}{problem}; put text with : or # in quotes and indent with spaces.") from error
    except RecursionError as error:
        raise CardError("the YAML is nested too deeply; a role card has four levels.") from error
    if not isinstance(content, dict):
        raise CardError("this is no role card; it must begin with fields like 'slug: my-persona'.")
    return content


_REMEDIES = {
    "missing": "add this field",
    "extra_forbidden": "remove this field or mend its spelling",
    "string_type": "write text here",
    "tuple_type": "write a list here, a line with '- ' each",
    "model_type": "write fields here, a line with 'name: …' each",
    "string_too_short": "write something here",
}


def _first_problem(error: ValidationError, content: dict[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    field = _field_path(first["loc"], content)
    match first["type"]:
        case "enum" | "literal_error":
            remedy = f"must be one of {first.get('ctx', {}).get('expected', '')}"
        case "string_pattern_mismatch":
            letters = "lower-case letters, digits and " + ("hyphens" if first["loc"][-1] == "slug" else "underscores")
            remedy = f"use {letters} only"
        case "string_too_long" | "too_long":
            most = first.get("ctx", {}).get("max_length")
            remedy = f"at most {most} {'characters' if first['type'] == 'string_too_long' else 'of them'}"
        case "too_short":
            remedy = "list at least one"
        case kind:
            remedy = _REMEDIES.get(kind) or first["msg"].removeprefix("Value error, ")
    more = len(error.errors()) - 1
    return f"{field}: {remedy}" + (f" (and {more} more)." if more else ".")


def _field_path(loc: tuple[int | str, ...], content: Any) -> str:
    """Return e.g. ``facts[2] (closing_time).say``: places count from 1, with the part's id where it has one."""
    path = ""
    for part in loc:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            content = None
        if isinstance(part, int):
            name = content.get("id") or content.get("kind") if isinstance(content, dict) else None
            path += f"[{part + 1}]" + (f" ({name})" if isinstance(name, str) else "")
        else:
            path += ("." if path else "") + part
    return path or "card"
