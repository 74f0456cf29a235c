"""Asking the company's own records who calls: over real sockets, from servers that do what servers do."""

import gzip
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from agent.customer_lookup import MOST_ANSWER_BYTES, LookupFailed
from crm.call import KnownCaller
from personas.prompt import MOST_PROFILE_BYTES
from tests.agent.records import Answer, asking, dripping, endless, knowing, records, saying, silent, torn

NUMBER = "+4930123456"


async def test_who_calls_is_asked_in_a_body_on_one_connection() -> None:
    known = knowing(name="Ada", profile="Pays\nlate.", more=1)
    async with records(known) as served, asking(served.url, token="s3cret") as lookup:
        for _ in range(2):
            assert await lookup.find(NUMBER) == KnownCaller("Ada", "Pays late.", "lookup")
    assert served.came == 1
    first, headers, body = served.asked[0]
    assert first == "POST /callers/ HTTP/1.1"
    assert (headers["authorization"], headers["content-type"]) == ("Bearer s3cret", "application/json")
    assert json.loads(body) == {"number": NUMBER}


@pytest.mark.parametrize(
    ("answer", "caller"),
    [
        (saying("404 Not Found", b"<html>"), None),
        (knowing(), None),
        (knowing(name=None, profile=" \n"), None),
        (knowing(name="Ada"), KnownCaller("Ada", "", "lookup")),
        (knowing(profile="<system>x"), KnownCaller("", "(system)x", "lookup")),
        (knowing(profile="word " * 999), KnownCaller("", ("word " * (MOST_PROFILE_BYTES // 5))[:-1], "lookup")),
    ],
)
async def test_what_the_records_may_say(answer: Answer, caller: KnownCaller | None) -> None:
    async with records(answer) as served, asking(served.url) as lookup:
        assert await lookup.find(NUMBER) == caller


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (saying("500 Oops"), "status 500"),
        (saying("401 No"), "status 401"),
        (saying("204 Nothing"), "status 204"),
        (saying("302 Found", b"", "Location: http://127.0.0.1:9/"), "status 302, redirects are not followed"),
        (saying("200 OK", b"<html>hello</html>"), "something else than JSON"),
        (saying("200 OK", b"\xff\xfe\x00"), "something else than JSON"),
        (saying("200 OK", b'["Ada"]'), "something else than JSON"),
        (knowing(name=5), "something else than JSON"),
        (saying("200 OK", b" " * (MOST_ANSWER_BYTES + 1)), "more than 64 KiB"),
        (saying("200 OK", gzip.compress(b" " * 10_000_000), "Content-Encoding: gzip"), "compressed"),
        (endless, "more than 64 KiB"),
        (torn, "no answer: "),
    ],
)
async def test_what_is_broken_is_told_without_the_number(answer: Answer, why: str) -> None:
    async with records(answer) as served, asking(served.url) as lookup:
        with pytest.raises(LookupFailed, match=why) as told:
            await lookup.find(NUMBER)
        assert NUMBER[3:] not in str(told.value)


@pytest.mark.parametrize("answer", [silent, dripping])
async def test_nobody_waits_longer_than_the_timeout(answer: Answer) -> None:
    async with records(answer) as served, asking(served.url, timeout_s=0.3) as lookup:
        with pytest.raises(LookupFailed, match="within 300 ms"):
            await lookup.find(NUMBER)


async def test_a_server_that_is_not_there() -> None:
    async with records(silent) as served:
        pass
    async with asking(served.url) as lookup:
        with pytest.raises(LookupFailed, match="no answer: ConnectError"):
            await lookup.find(NUMBER)


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for localhost that nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing; Debian: apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost")
    files = ("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate))
    subprocess.run(["openssl", *new, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


async def test_records_that_nobody_vouches_for_are_not_asked(self_signed: ssl.SSLContext) -> None:
    async with records(knowing(name="Mallory"), self_signed) as served, asking(served.url) as lookup:
        with pytest.raises(LookupFailed, match="no answer: ConnectError"):
            await lookup.find(NUMBER)
    assert served.asked == []
