"""Templates: one package's pages inside the console's layout, rendered in a thread."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, pass_context
from markupsafe import Markup

from personas.admin.csrf import csrf_token

STATIC = Path(__file__).parent / "static"


class Pages:
    """The templates of ``package``/admin/templates; they extend and import those of personas/admin/templates."""

    def __init__(self, package: str) -> None:
        loaders = [PackageLoader(name, "admin/templates") for name in dict.fromkeys((package, "personas"))]
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "moment": moment,
            "clock": clock,
            "delay": delay,
            "percent": percent,
            "codes": codes,
        }
        self._environment.globals["asset"] = _asset

    async def __call__(self, request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """Render a template; a section's pages pass ``active``, the path of their section."""
        state = request.app.state
        user = getattr(request.state, "user", None)
        values = {
            "request": request,
            "user": user,
            "sections": [each for each in state.sections if user and user.may(each.role)],
            "zone": state.time_zone,
            "active": "",
            "csrf_token": csrf_token(request),
            "style_nonce": request.state.style_nonce,
        } | values
        return HTMLResponse(await asyncio.to_thread(self._render, template, values), status)

    def _render(self, template: str, values: dict[str, object]) -> str:
        return self._environment.get_template(template).render(values)


@pass_context
def moment(context: Mapping[str, Any], at: datetime | None) -> Markup | str:
    """Return a <time> in the console's zone, with the name that the zone has at that time of the year."""
    if at is None:
        return "–"
    at = at.astimezone(context["zone"])
    name = at.tzname() or ""
    name = name if name[:1].isalpha() else f"UTC{name}"  # zones without a name of their own call themselves +03
    whole = f"{at:%Y-%m-%d %H:%M:%S} {name} ({context['zone']})"
    shown = f"{at:%Y-%m-%d %H:%M} {name}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(timespec="seconds"), whole, shown)


def clock(ms: float | None) -> str:
    """Return a length or a place in a call as m:ss, or h:mm:ss."""
    if ms is None:
        return "–"
    minutes, seconds = divmod(int(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def delay(ms: float | None) -> str:
    """Return a short time: milliseconds below one second, else seconds with a decimal."""
    if ms is None:
        return "–"
    return f"{ms:.0f} ms" if abs(ms) < 1000 else f"{ms / 1000:.1f} s"


def percent(share: float | None) -> str:
    """Return a share of 0 … 1 in whole percent."""
    return "–" if share is None else f"{share * 100:.0f} %"


def codes(sentence: str) -> Markup:
    """Return a sentence in which what stands between backticks is shown as something to type."""
    forms = cycle((Markup("{}"), Markup("<code>{}</code>")))
    return Markup("").join(form.format(part) for form, part in zip(forms, sentence.split("`"), strict=False))


_versions: dict[str, str] = {}


def _asset(name: str) -> str:
    """Return a static file's address; it changes with the content, so browsers may keep it for good."""
    if name not in _versions:
        _versions[name] = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={_versions[name]}"
