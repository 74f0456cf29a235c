"""A setting that can't be used is one sentence that names it and what it must be, and never its value."""

from pathlib import Path

import pytest

from agent.commands.settings import _shown
from agent.settings import Settings, SettingsError, load, misspelt

WRONG = {
    "OWN_VOICES": (
        "clara, ../etc",
        "must be names of voice files, separated by commas, not '../etc'.",
    ),
    "TIME_ZONE": ("Mars/Olympus", "must be the IANA name of a time zone, e.g. Europe/Berlin or America/New_York."),
    "PORT": ("x", "must be a whole number, 0 to 65535."),
    "MAX_CALL_S": ("0", "must be a number above 0, at most 86400."),
    "LOG_LEVEL": ("loud", "must be debug or info or warning or error."),
    "ENGINE_KV": ("fp4", "must be empty or fp8."),
    "SCORE_CALLS": ("maybe", "must be true or false."),
    "PUBLIC_URL": ("calls.example.com", "must begin with https:// (or http:// for tests) and name a host."),
    "TWILIO_API_URL": ("api.twilio.com", "must begin with https://, e.g. https://api.dublin.ie1.twilio.com."),
    "JUDGE_BASE_URL": ("llm.example.com", "must begin with https://, e.g. https://llm.example.com/v1."),
    "CUSTOMER_URL": ("crm.example.com", "must begin with https://, e.g. https://crm.example.com/callers."),
    "CUSTOMER_TIMEOUT_MS": ("5", "must be a whole number, 10 to 3000."),
    "PEER_ADDRESS": (
        "10.0.0.5/parley",
        "must be a host name or IP address, with a port or without, or an origin, e.g. 10.0.0.5 or gw1:8080.",
    ),
    "OIDC_ISSUER": (
        "http://login.example.com",
        "must begin with https://, e.g. https://login.example.com (http:// on this machine only).",
    ),
    "OIDC_ROLES": (
        "staff=boss",
        "must be like parley-admins=admin,parley-staff=analyst; roles are analyst, editor, admin.",
    ),
    "OIDC_SCOPES": ("profile", "must hold openid, with spaces between scopes, e.g. openid profile email groups."),
    "OIDC_ONLY": ("true", "needs PARLEY_OIDC_ISSUER: nobody could sign in."),
    "TWILIO_ACCOUNT_SID": ("foo", "must be an account SID: AC with more letters and digits, from Twilio's console."),
}


@pytest.fixture(autouse=True)
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_in_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, sentence = WRONG[name]
    monkeypatch.setenv(f"PARLEY_{name}", value)
    with pytest.raises(SettingsError) as told:
        load()
    assert str(told.value) == f"PARLEY_{name} {sentence}"


def test_a_judge_has_a_model() -> None:
    with pytest.raises(
        SettingsError, match=r"^PARLEY_JUDGE_MODEL must name the model that PARLEY_JUDGE_BASE_URL is asked"
    ):
        load(judge_base_url="http://127.0.0.1:8000/v1/")
    assert (
        load(judge_base_url="http://127.0.0.1:8000/v1/", judge_model="m").judge_base_url == "http://127.0.0.1:8000/v1"
    )


def test_a_provider_comes_with_a_client_and_roles() -> None:
    missing = r"^PARLEY_OIDC_CLIENT_ID must be set where .* is\. PARLEY_OIDC_ROLES must be set where .* is\.$"
    with pytest.raises(SettingsError, match=missing):
        load(oidc_issuer="https://example.auth0.com/")
    known = load(oidc_issuer="https://example.auth0.com/", oidc_client_id="x", oidc_roles="*=analyst")
    assert known.oidc_issuer == "https://example.auth0.com/"


@pytest.mark.parametrize("url", ["https://", "https://calls example.com", "https://calls.example.com/path"])
def test_an_origin_names_a_host_and_no_path(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^PARLEY_PUBLIC_URL must .*\.$"):
        load(public_url=url)


@pytest.mark.parametrize(
    "name", [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]
)
def test_every_range_is_told_in_words(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^PARLEY_{name.upper()} must be a (whole )?number.* \d+(\.0)?\.$"):
        load(**{name: 1e9})


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PORT", "x")
    monkeypatch.setenv("PARLEY_WORKERS", "0")
    with pytest.raises(SettingsError, match=r"PARLEY_PORT must .*\. PARLEY_WORKERS must .*\."):
        load()


def test_a_misspelt_variable_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_SESION_SECRET", "x")
    monkeypatch.setenv("PARLEY_SERVICE_HOST", "10.0.0.1")  # what Kubernetes sets for a service named parley
    (tmp_path / ".env").write_text("PARLEY_PUBLIC_ULR=https://calls.example.com\nPARLEY_PORT=80\n")
    found = misspelt()
    assert found["PARLEY_SESION_SECRET"] == "PARLEY_SESSION_SECRET"
    assert found["PARLEY_PUBLIC_ULR"] == "PARLEY_PUBLIC_URL"
    assert not {"PARLEY_SERVICE_HOST", "PARLEY_PORT"} & set(found)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PARLEY_PORT=80\xff")
    with pytest.raises(SettingsError, match=r"^The file \.env .* can't be read \(UnicodeDecodeError\): make it UTF-8"):
        load()


def test_a_password_in_a_url_is_not_shown() -> None:
    assert _shown("postgresql+psycopg://ann:secret@db/parley") == "postgresql+psycopg://ann:***@db/parley"
    assert _shown("wss://engine.example.com:8998") == "wss://engine.example.com:8998"


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("10.0.0.5", "http://10.0.0.5:9"),
        ("fd00::1", "http://[fd00::1]:9"),
        ("[fd00::1]:8080", "http://[fd00::1]:8080"),
        ("gw1", "http://gw1:9"),
        ("gw1:8080", "http://gw1:8080"),
        ("https://gw1.internal/", "https://gw1.internal"),
        ("", ""),
    ],
)
def test_a_machine_is_reached_under_whatever_address_it_has(address: str, origin: str) -> None:
    shared = {"database_url": "postgresql://db/parley", "session_secret": "s" * 32}
    assert load(peer_address=address, port=9, **shared).peer_origin == origin


def test_several_machines_share_a_database_and_a_secret() -> None:
    with pytest.raises(SettingsError, match=r"^PARLEY_PEER_ADDRESS needs PARLEY_DATABASE_URL to name a PostgreSQL"):
        load(peer_address="10.0.0.5", session_secret="s" * 32)
    with pytest.raises(SettingsError, match=r"^PARLEY_SESSION_SECRET must be set, to the same value on every machine"):
        load(peer_address="10.0.0.5", database_url="postgresql://db/parley")
