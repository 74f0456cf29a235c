"""A browser as a carrier: the console dials for who is signed in, and the page does what a phone network does.

console: user, persona ──▶ dial ──▶ three signed requests ──▶ page ──▶ webhook, media socket, action
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from telephony.carrier import InboundCall, Instruction, NextAsked
from telephony.carriers.browser import forms
from telephony.carriers.browser.media import BrowserMedia
from telephony.carriers.browser.passes import Passes, check_origin
from telephony.errors import BadSignature, CarrierUnavailable
from telephony.media import MediaProtocol

SIGNATURE_HEADER = "x-parley-signature"
BEGIN_S = 60.0
"""How long a page has from dialling to its media socket: it has the microphone already."""
LONGEST_S = 25 * 3600.0
"""How long after dialling a page may ask what comes next: longer than any call."""
_SIGNATURE = "Signature"


@dataclass(frozen=True, slots=True)
class SignedForm:
    """A form that a page may send to ``path``, URL-encoded, with ``signature`` in the header SIGNATURE_HEADER."""

    path: str
    form: Mapping[str, str]
    signature: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """What a page needs for one call: a form that begins it, its media socket, a form that asks what comes after."""

    call_id: str
    account: str
    begin: SignedForm
    media: str
    after: SignedForm
    header: str = SIGNATURE_HEADER


class BrowserCarrier:
    """Browsers behind ``telephony.carrier.Carrier``. Nobody can be called, and nothing is hung up but by the socket."""

    name = "browser"
    webhook_path = "/browser/voice"
    action_path = "/browser/action"
    media_path = "/browser/media"
    hold_sound_path = "/browser/ringing.wav"
    can_call = False

    def __init__(self, public_url: str, key: bytes, passes: Passes | None = None) -> None:
        """``public_url`` is the origin of the pages; ``key`` signs, and without one every request is refused."""
        self._public_url = public_url
        self._passes = passes or Passes(key)

    def dial(self, to: str, account: str) -> Dialled:
        """Return a new call of ``account`` to ``to``, for its page: hand it to nobody but that user.

        What it opens, once, is the call that its form names, and no other.
        """
        call_id = f"BR{uuid4().hex}"
        form = {"CallId": call_id, "Account": account, "To": to}
        query, signature = self._passes.sign(self.media_path, form, BEGIN_S)
        return Dialled(
            call_id=call_id,
            account=account,
            begin=self._signed(self.webhook_path, form, BEGIN_S),
            media=f"{self.media_path}?{urlencode(query | {_SIGNATURE: signature})}",
            after=self._signed(self.action_path, form, LONGEST_S),
        )

    def check_webhook(self, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        check_origin(headers, self._public_url)
        self._passes.check(path, form, headers.get(SIGNATURE_HEADER, ""))

    def check_socket(self, path: str, headers: Mapping[str, str]) -> None:
        check_origin(headers, self._public_url)
        bare, _, query = path.partition("?")
        try:
            form = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=10))
        except ValueError:
            raise BadSignature("The media socket's address can't be read.") from None
        signature = form.pop(_SIGNATURE, "")
        self._passes.check(bare, form, signature)

    def inbound_call(self, form: Mapping[str, str]) -> InboundCall:
        return forms.inbound_call(form)

    def next_asked(self, form: Mapping[str, str], query: Mapping[str, str]) -> NextAsked:
        return forms.next_asked(form)

    def render(self, instruction: Instruction) -> str:
        return forms.render(instruction)

    def media_protocol(self) -> MediaProtocol:
        return BrowserMedia()

    async def redirect(self, call_id: str, *, part: int = 0) -> bool:
        return False

    async def call_human(self, to: str, from_number: str, *, about_call: str, part: int, timeout_s: int) -> str:
        raise CarrierUnavailable("A browser calls nobody.")

    async def remove_message(self, address: str) -> bool:
        return False

    async def hang_up(self, call_id: str) -> bool:
        return False

    def _signed(self, path: str, form: Mapping[str, str], life_s: float) -> SignedForm:
        return SignedForm(path, *self._passes.sign(path, form, life_s))
