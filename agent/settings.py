"""Every setting of Parley; the only reader of the environment."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, SettingsConfigDict

from agent.setting_values import (
    AccountSid,
    Address,
    Checked,
    Collector,
    Endpoint,
    Issuer,
    Networks,
    Origin,
    OwnVoices,
    PeerAddress,
    RoleMap,
    Scopes,
    TwilioAddress,
    WebAddress,
    Zone,
    parts,
    peer_origin,
    sentence,
)

PREFIX, DOTENV = "PARLEY_", ".env"


class SettingsError(Exception):
    """A setting has a value that can't be used; the message names it and the remedy, never a secret."""


class Settings(Checked):
    """Read from environment variables ``PARLEY_…`` or a file ``.env`` in the working directory."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=DOTENV, extra="ignore", env_ignore_empty=True)

    # Where things are kept
    data_dir: Path = Field(
        Path("parley-data"),
        description="Folder for the SQLite database, recordings, keys and what is made from role cards; one machine's "
        "own.",
    )
    recordings_dir: str = Field(
        "",
        description="Folder of recordings, the same for all machines that share a database; empty means recordings/ "
        "in the data folder.",
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL: sqlite+aiosqlite:///… or postgresql+psycopg://…; "
        "empty means a SQLite file in the data folder.",
    )
    keep_recordings_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which a call's recording is removed; 0 keeps it as long as the call.",
    )
    keep_calls_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after which all that is personal of a call is removed: recording, words, quotes, numbers, "
        "role prompt. Its figures stay in the overview. 0 keeps calls for ever.",
    )

    # The server
    host: str = Field("127.0.0.1", description="Address that `parley serve` listens on.")
    port: int = Field(8080, ge=0, le=65_535, description="TCP port that `parley serve` listens on; 0 takes a free one.")
    public_url: Origin = Field(
        "",
        description="Origin under which the carrier reaches this server, e.g. https://calls.example.com; "
        "signatures are checked against it. Empty means http://HOST:PORT.",
    )
    peer_address: PeerAddress = Field(
        "",
        description="Where other machines that share the database reach this one, e.g. 10.0.0.5, gw1:8080 or "
        "https://gw1.internal; without a port PARLEY_PORT. Then pages show all machines' live calls. Empty is for one "
        "machine.",
    )
    trusted_proxies: Networks = Field(
        "",
        description="Addresses or networks of reverse proxies, with commas between, e.g. 127.0.0.1; their "
        "X-Forwarded-For says who signs in. Empty believes nobody.",
    )
    admin_password: SecretStr = Field(
        SecretStr(""),
        description="Password of the user `admin`, set on the first start; "
        "empty means that one is made up and printed once.",
    )
    session_secret: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="Key that signs login cookies and what machines ask each other, the same on all of them; empty "
        "means one is made and kept in the data folder.",
    )
    oidc_issuer: Issuer = Field(
        "",
        description="Provider of OpenID Connect by which people sign in to the console, as it calls itself, e.g. "
        "https://login.example.com; empty means passwords only.",
    )
    oidc_client_id: str = Field("", validate_default=True, description="What the provider knows Parley as.")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="Parley's secret at the provider; empty for a client that has none."
    )
    oidc_scopes: Scopes = Field("openid profile email", description="Scopes that the provider is asked for.")
    oidc_role_claim: str = Field(
        "groups", description="Claim that says who may do what; dots lead into objects, e.g. realm_access.roles."
    )
    oidc_roles: RoleMap = Field(
        "",
        validate_default=True,
        description="Values of that claim and the roles they give, e.g. parley-admins=admin,support=analyst; "
        "* is everybody. Who has none of them is not let in.",
    )
    oidc_only: bool = Field(
        False, description="Whether nobody signs in with a password any more; needs PARLEY_OIDC_ISSUER."
    )
    time_zone: Zone = Field(
        "UTC", description="Time zone of the console's days and times, by its IANA name, e.g. Europe/Berlin."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["console", "json"] = Field("console", description="Log lines for people, or JSON for machines.")

    workers: int = Field(
        1, ge=1, le=64, description="Processes of `parley serve` on one port; each loads the engine for itself."
    )
    score_calls: bool = Field(
        True,
        description="Whether `parley serve` scores calls as they end, in a process beside it; "
        "off where `parley score --follow` runs elsewhere.",
    )
    judge_base_url: WebAddress = Field(
        "",
        description="OpenAI-compatible chat endpoint, e.g. https://llm.example.com/v1, whose model judges what rules "
        "leave open; transcripts and roles are sent there. Empty means no judge.",
    )
    judge_model: str = Field("", validate_default=True, description="Model name for the judge's endpoint.")
    judge_api_key: SecretStr = Field(SecretStr(""), description="Key for the judge's endpoint.")
    judge_timeout_s: float = Field(
        60.0, gt=0, le=3_600, description="Seconds that the judge's endpoint has for one answer."
    )
    drain_s: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Seconds that live calls have to finish once the server is told to stop (SIGTERM); "
        "then they end with a spoken sentence. A second signal ends them at once.",
    )
    max_loop_lag_ms: float = Field(
        250.0,
        ge=0,
        le=10_000,
        description="Lateness of the event loop, in thousandths of a second, 95th percentile of five seconds, "
        "above which new calls are treated as if the engine were full; 0 is no limit.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="Bearer token that /metrics asks for; empty shows it to everybody."
    )
    otlp_endpoint: Collector = Field(
        "",
        description="Collector of OpenTelemetry traces, sent by OTLP over HTTP, e.g. http://collector:4318; "
        "empty makes none.",
    )

    # The phone network
    twilio_account_sid: AccountSid = Field(
        "", description="Twilio account SID; with the auth token it lets Parley hang up, move and make calls."
    )
    twilio_auth_token: SecretStr = Field(
        SecretStr(""),
        description="Twilio auth token(s), comma-separated during rotation; requests not signed with one are refused.",
    )
    twilio_api_url: TwilioAddress = Field(
        "",
        description="Origin of Twilio's REST API, e.g. https://api.dublin.ie1.twilio.com for the region IE1; "
        "empty means https://api.twilio.com.",
    )
    stream_start_timeout_s: float = Field(
        5.0, gt=0, le=60, description="Seconds a media socket has to say which call it carries."
    )

    caller_calls_per_minute: int = Field(
        60, ge=0, le=10_000, description="Most calls a minute from one number; more hear an apology; 0 is no limit."
    )

    customer_url: Endpoint = Field(
        "",
        description="Address of your own records, asked for each caller while it rings: POST with JSON {number}, "
        "answered by {name, profile} or 404; see docs/customers.md. Empty asks nobody.",
    )
    customer_token: SecretStr = Field(SecretStr(""), description="Bearer token that is sent to PARLEY_CUSTOMER_URL.")
    customer_timeout_ms: int = Field(
        300,
        ge=10,
        le=3_000,
        description="Thousandths of a second that PARLEY_CUSTOMER_URL has to answer; then the call goes on without.",
    )

    test_keeps_slots: int = Field(
        1, ge=0, le=1_000, description="Free lines that a test call from the console leaves to callers; 0 leaves none."
    )

    # The engine
    engine: str = Field("cascade", description="Who answers: cascade, loopback, personaplex or remote.")
    engine_url: Address = Field(
        "",
        description="Addresses of the PersonaPlex servers for the engine `remote`, with commas between, e.g. "
        "ws://gpu1:8998,ws://gpu2:8998, or a name that leads to all of them; `parley engine` is sent raw sound, "
        "with ?format=opus a tenth of the bytes.",
    )
    engine_token: SecretStr = Field(
        SecretStr(""), description="Bearer token that the engine's server asks for, or that `parley engine` asks for."
    )
    engine_checkpoint: str = Field(
        "",
        description="PersonaPlex's model: a folder, a Hub id such as nvidia/personaplex-7b-v1, "
        "or `tiny` for random weights.",
    )
    engine_voices: str = Field("", description="Folder of PersonaPlex's voices; empty takes the checkpoint's own.")
    own_voices: OwnVoices = Field(
        "", description="Voices of your own that role cards may ask for: their files' names, separated by commas."
    )
    engine_device: str = Field(
        "", description="PersonaPlex's device, cuda or cpu; empty takes a GPU where there is one."
    )
    engine_anchor_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Seconds of a call over 200 s that PersonaPlex keeps with its prompt; 0 is off.",
    )
    engine_slots: int = Field(0, ge=0, le=1_000, description="Most calls at once; 0 leaves it to the engine.")
    engine_kv: Literal["", "fp8"] = Field(
        "",
        description="How PersonaPlex keeps keys and values: fp8 in 8 bits, for nearly twice the calls; "
        "empty in its weights' precision.",
    )
    engine_eager: bool = Field(
        False, description="Run PersonaPlex on a GPU without kernels of our own and graphs: slow, to look for faults."
    )
    engine_drain_s: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Seconds that live calls have to finish once `parley engine` is told to stop (SIGTERM) and takes "
        "no more; then they are closed, and go on at another engine. A second signal closes them at once.",
    )
    engine_ready_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="Seconds an engine has to take in a role prompt; from one second on the caller hears it ring.",
    )
    max_call_s: float = Field(
        3_600.0, gt=0, le=86_400, description="Longest call in seconds; then the agent's side hangs up."
    )
    time_warning_s: float = Field(
        30.0, ge=0, le=600, description="Seconds before PARLEY_MAX_CALL_S at which the caller is told; 0 says nothing."
    )
    caller_silence_s: float = Field(
        15.0,
        ge=0,
        le=600,
        description="Seconds of silence on both sides after which the caller is asked, and after as many again the "
        "call ends; 0 waits for ever.",
    )
    agent_mute_s: float = Field(
        10.0,
        ge=0,
        le=600,
        description="Seconds a caller who has spoken waits for an agent that sends only silence before the call is "
        'carried on by another session or a human, or twice a quarter of it with a "hello?" between; '
        "0 waits for ever.",
    )
    engine_stall_s: float = Field(
        1.5,
        ge=0,
        le=5,
        description="Seconds without a frame from the engine after which it counts as lost; 0 leaves it at 6. "
        "From one second on the caller hears it ring.",
    )

    # The embedded cascade
    recogniser_workers: int = Field(
        0, ge=0, le=64, description="Speech recognition processes; 0 means one for every two cores."
    )
    llm_base_url: Address = Field(
        "", description="OpenAI-compatible chat endpoint that answers instead of the embedded responder."
    )
    llm_api_key: SecretStr = Field(SecretStr(""), description="Key for the chat endpoint.")
    llm_model: str = Field("", description="Model name for the chat endpoint.")
    speech_base_url: Address = Field(
        "", description="OpenAI-compatible speech endpoint that speaks instead of the embedded voice."
    )
    speech_api_key: SecretStr = Field(SecretStr(""), description="Key for the speech endpoint.")
    speech_model: str = Field("", description="Model name for the speech endpoint.")
    tts: Literal["auto", "espeak", "flite"] = Field(
        "auto", description="Embedded voice; auto takes flite where its program is installed."
    )

    @property
    def database(self) -> str:
        """The database URL with its default filled in."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'parley.db'}"

    @property
    def recordings(self) -> Path:
        """The folder of recordings with its default filled in."""
        return Path(self.recordings_dir) if self.recordings_dir else self.data_dir / "recordings"

    @property
    def peer_origin(self) -> str:
        """The origin under which other machines reach this one, "" where there are none."""
        return peer_origin(self.peer_address, self.port)

    @property
    def origin(self) -> str:
        """The public origin with its default filled in."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """Twilio auth tokens, newest first."""
        return parts(self.twilio_auth_token.get_secret_value())

    @property
    def proxies(self) -> tuple[str, ...]:
        """The addresses and networks of ``trusted_proxies``."""
        return parts(self.trusted_proxies)

    @property
    def voices_of_own(self) -> tuple[str, ...]:
        """The names of ``own_voices``."""
        return parts(self.own_voices)

    def engine_options(self) -> dict[str, str]:
        """The settings engines may read, as the plain strings that ``agent.duplex.load_engine`` takes."""
        names = ("data_dir", "engine_url", "engine_slots", "engine_checkpoint", "engine_voices", "engine_device")
        names += ("engine_anchor_s", "engine_kv", "engine_eager", "recogniser_workers", "llm_base_url", "llm_model")
        names += ("speech_base_url", "speech_model", "tts")
        secrets = ("engine_token", "llm_api_key", "speech_api_key")
        options = {name: str(getattr(self, name)) for name in names}
        return options | {name: getattr(self, name).get_secret_value() for name in secrets}


@cache
def settings() -> Settings:
    """Read the settings once.

    Raises:
        SettingsError: naming every variable that can't be used.
    """
    return load()


def load(**overrides: object) -> Settings:
    """Read the settings, with ``overrides`` by field name on top; raises SettingsError like ``settings``."""
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise SettingsError(" ".join(_sentence(each) for each in error.errors())) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The file {DOTENV} of the working folder can't be read ({type(error).__name__}): "
            "make it UTF-8 text that this user may read, or start Parley in another folder."
        ) from None


def misspelt() -> dict[str, str]:
    """Return variables of the environment or ``.env`` that are no setting, and the setting that each resembles."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    given = sorted({name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)} - set(known))
    near = {name: get_close_matches(name, known, n=1, cutoff=0.85) for name in given if name.startswith(PREFIX)}
    return {name: found[0] for name, found in near.items() if found}


def _sentence(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0])
    return sentence(f"{PREFIX}{name.upper()}", Settings.model_fields[name], problem)
