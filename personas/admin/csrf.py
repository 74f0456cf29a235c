"""Whether a form is ours: every request that changes something carries a token of its session."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from fastapi import HTTPException, Request
from starlette.datastructures import FormData
from wtforms import Form
from wtforms.csrf.session import SessionCSRF

SESSION_S = 12 * 3600
MOST_FIELDS, LONGEST_FIELD_BYTES = 100, 500_000  # a role card of 100 000 characters, in UTF-8
LARGEST_FORM_BYTES = 2_000_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class TokenForm(Form):
    """A form that holds nothing but the token by which we know our own forms."""

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        csrf = True
        csrf_class = SessionCSRF
        csrf_time_limit = timedelta(seconds=SESSION_S)


def _token_form(request: Request, data: FormData | None = None) -> TokenForm:
    secret = request.app.state.csrf_secret
    return TokenForm(data, meta={"csrf_secret": secret, "csrf_context": request.session})


def csrf_token(request: Request) -> str:
    """Return the token that this session's forms carry in their field ``csrf_token``."""
    return _token_form(request).csrf_token.current_token  # pyright: ignore[reportAttributeAccessIssue]


def token_required(largest_bytes: int = LARGEST_FORM_BYTES) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency of every route: refuse a request that changes something and didn't come from our pages.

    A form over ``largest_bytes`` is refused before it is read: what is uploaded lies on the disk meanwhile.
    """

    async def require_token(request: Request) -> None:
        if request.method in SAFE_METHODS:
            return
        size = request.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in request.headers or not size.isdecimal() or int(size) > largest_bytes:
            raise HTTPException(
                413, f"What is sent here must tell its size, which is {largest_bytes // 1_000_000} MB at most."
            )
        data = await request.form(max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD_BYTES)  # kept for the page
        if not _token_form(request, data).validate():
            raise HTTPException(
                403, "This form is too old or was not sent from this page. Go back, reload and try again."
            )

    return require_token
