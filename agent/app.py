"""The composition root: settings → database, stores, engine, carrier → one ASGI application."""

import asyncio
import contextlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from threading import Thread
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog
from fastapi import FastAPI
from starlette.datastructures import State

from agent import messages
from agent.call import Switchboard
from agent.customer_lookup import CustomerLookup
from agent.duplex import DuplexEngine, load_engine
from agent.health import Admission, Health
from agent.lag import LoopLag
from agent.line.answer import CallDesk
from agent.line.browser_desk import BrowserDesk
from agent.line.desks import Desks
from agent.live import LiveCalls
from agent.live_desk import LiveDesk
from agent.metrics import GatewayMetrics, Timed
from agent.neighbours import LiveNeighbours
from agent.own_voice import OwnVoice
from agent.pipeline.build import warm_up
from agent.pipeline.watch import Patience
from agent.settings import Settings, SettingsError
from agent.shared import folder_mark, refuse_another_folder, secret_mark
from agent.tracing.line import LiveSpans, TracedDesk
from crm.admin import customers as customer_pages
from crm.admin import overview
from crm.admin import pages as call_pages
from crm.admin.live import LiveView
from crm.analytics import Analytics
from crm.customers import Customers
from crm.erasure import RemoveMessage
from crm.gateways import Gateways, Told
from crm.recorder import recover_lost_calls
from crm.recordings import Recordings
from crm.store import CallStore
from personas import migrate
from personas.accounts import AccountError, ensure_admin
from personas.admin import console
from personas.admin.section import Section
from personas.admin.talking import Dial
from personas.db import Database
from personas.sso import Provider, role_map
from personas.store import PersonaStore
from telephony.carrier import CallHandler, Carrier
from telephony.carriers.browser import BrowserCarrier
from telephony.limits import LineLimits
from telephony.routes import telephony_router

if TYPE_CHECKING:
    from personas.admin.sso import SingleSignOn

log = structlog.get_logger(__name__)


def create_app(settings: Settings, engine: DuplexEngine | None = None) -> FastAPI:
    """Return the application; its lifespan migrates, starts the engine and ends the calls. One lifespan an app.

    ``engine`` replaces the one that the settings name. ``app.state`` holds ``settings``, ``database``,
    ``personas``, ``calls``, ``recordings``, ``live``, ``gateways``, ``neighbours``, ``own_voice``, ``engine``,
    ``desk``, ``desks``, ``lag``, ``metrics``, and after the start ``admin_password``: the one that was made up, or
    None.

    Raises:
        SettingsError: a folder can't be written to.
        DatabaseError: the database URL is none.
        EngineUnavailable: there is no such engine, or a package it needs is missing.
    """
    _check_folder("PARLEY_DATA_DIR", settings.data_dir)
    _check_folder("PARLEY_RECORDINGS_DIR", settings.recordings)
    database = Database(settings.database)
    personas, calls = PersonaStore(database), CallStore(database)
    recordings, metrics = Recordings(settings.recordings), GatewayMetrics(settings.recordings)
    admission = Admission(LoopLag(on_lag=metrics.lag), settings.max_loop_lag_ms)
    live, own_voice = LiveCalls(metrics.count, LiveSpans().note), OwnVoice(settings.tts)
    secret = _session_secret(settings)
    told = Told(settings.peer_origin, secret_mark(secret), folder_mark(settings.recordings))
    gateways = Gateways(database, calls.gateway, told)
    neighbours = LiveNeighbours(live, settings.data_dir / "live", gateways, secret)
    lookup = _lookup(settings)
    engine = engine or load_engine(settings.engine, settings.engine_options())
    carrier = messages.twilio(settings)
    board = Switchboard(
        engine=engine,
        personas=personas,
        calls=calls,
        recordings=recordings,
        live=live,
        carrier=carrier,
        ready_timeout_s=settings.engine_ready_timeout_s,
        max_call_s=settings.max_call_s,
        patience=_patience(settings),
        speak=own_voice,
        lookup=lookup,
    )
    browsers = BrowserCarrier(settings.origin, hmac.digest(secret.encode(), b"browser", "sha256"))
    desk = CallDesk(board, too_busy=admission.too_busy, gateways=gateways)
    tests = BrowserDesk(board, browsers, keeps_slots=settings.test_keeps_slots, too_busy=admission.too_busy)
    desks = Desks(desk, tests)
    app = FastAPI(
        title="Parley", lifespan=_lifespan, docs_url=None, redoc_url=None, openapi_url=None, telemetry=console.UNTOLD
    )
    state: dict[str, object] = dict(settings=settings, database=database, personas=personas, calls=calls)
    state |= dict(recordings=recordings, live=live, gateways=gateways, neighbours=neighbours, own_voice=own_voice)
    state |= dict(lookup=lookup, engine=engine, desk=desk, desks=desks, lag=admission.lag, metrics=metrics)
    app.state = State(state)
    _mount_lines(app, settings, metrics, (carrier, desk), (browsers, tests))
    Health(database, engine, desks, admission, metrics, settings.metrics_token.get_secret_value()).mount(app)
    neighbours.mount(app)
    sections = _sections(app.state, LiveDesk(live, neighbours, calls, personas, carrier), messages.remover(carrier))
    _mount_console(app, settings, secret, sections, tests.dial)
    return app


def _sections(state: State, view: LiveView, remove_message: RemoveMessage | None) -> list[Section]:
    customers = Customers(state.database)
    return [
        call_pages.section(state.calls, state.personas, state.recordings, view, customers, remove_message),
        overview.section(Analytics(state.database), state.personas),
        customer_pages.section(customers, state.calls, state.personas),
    ]


def _mount_lines(
    app: FastAPI, settings: Settings, metrics: GatewayMetrics, *lines: tuple[Carrier, CallHandler]
) -> None:
    limits = LineLimits(calls_per_minute=settings.caller_calls_per_minute)
    for carrier, desk in lines:
        router = telephony_router(
            carrier, TracedDesk(desk), start_timeout_s=settings.stream_start_timeout_s, limits=limits
        )
        app.include_router(router)
    timed = frozenset(path for carrier, _ in lines for path in (carrier.webhook_path, carrier.action_path))
    app.add_middleware(Timed, metrics=metrics, paths=timed)


def _mount_console(app: FastAPI, settings: Settings, secret: str, sections: Sequence[Section], dial: Dial) -> None:
    console.mount(
        app,
        database=app.state.database,
        session_secret=secret,
        secure=settings.origin.startswith("https:"),
        sections=sections,
        own_voices=settings.voices_of_own,
        time_zone=ZoneInfo(settings.time_zone),
        dial=dial,
        sso=_single_sign_on(settings),
    )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state, settings = app.state, app.state.settings
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(state.database.close)
        await asyncio.to_thread(migrate.make_ready, settings.database)
        await refuse_another_folder(state.gateways)
        state.admin_password = await _first_user(state.database, settings)
        lost = await recover_lost_calls(state.calls, state.recordings)
        if lost:
            log.warning("calls were lost when the server stopped", calls=lost)
        if state.lookup:
            stack.push_async_callback(state.lookup.close)
        stack.push_async_callback(state.engine.close)
        await asyncio.gather(asyncio.to_thread(warm_up), state.engine.start())
        state.lag.start()
        stack.callback(state.lag.stop)
        await stack.enter_async_context(state.neighbours)
        stack.callback(state.live.close)
        await stack.enter_async_context(state.desks)
        Thread(target=state.own_voice.load_quietly, name="own-voice", daemon=True).start()  # no caller waits for it
        yield


def _single_sign_on(settings: Settings) -> "SingleSignOn | None":
    if not settings.oidc_issuer:
        return None
    try:
        from personas.admin.sso import SingleSignOn
    except ImportError as error:
        raise SettingsError(f"PARLEY_OIDC_ISSUER: single sign-on needs the extra 'sso' ({error}).") from None
    provider = Provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value(),
        role_claim=settings.oidc_role_claim,
        roles=role_map(settings.oidc_roles),
        scopes=settings.oidc_scopes,
        is_only=settings.oidc_only,
    )
    return SingleSignOn(provider, settings.origin)


async def _first_user(database: Database, settings: Settings) -> str | None:
    try:
        return await ensure_admin(database, settings.admin_password.get_secret_value())
    except AccountError as error:
        raise SettingsError(f"PARLEY_ADMIN_PASSWORD: {error}.") from None


def _lookup(settings: Settings) -> CustomerLookup | None:
    if not settings.customer_url:
        return None
    token = settings.customer_token.get_secret_value()
    return CustomerLookup(settings.customer_url, token, settings.customer_timeout_ms / 1000)


def _patience(settings: Settings) -> Patience:
    return Patience(
        caller_silence_s=settings.caller_silence_s,
        agent_mute_s=settings.agent_mute_s,
        engine_stall_s=settings.engine_stall_s,
        time_warning_s=settings.time_warning_s,
    )


def _check_folder(setting: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SettingsError(f"{setting}: {folder} can't be written to ({why}); name another folder.") from None


def _session_secret(settings: Settings) -> str:
    """Return the key of the login cookies, made on the first start and kept in the data folder.

    Raises:
        SettingsError: the setting is too short.
    """
    given = settings.session_secret.get_secret_value()
    if given:
        if len(given) < console.LEAST_SECRET:
            raise SettingsError(f"PARLEY_SESSION_SECRET: needs at least {console.LEAST_SECRET} characters.")
        return given
    path = settings.data_dir / "session-secret"
    if not path.exists():
        with NamedTemporaryFile("w", dir=settings.data_dir) as file, contextlib.suppress(FileExistsError):
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.link(file.name, path)  # whole, or another process was first
    secret = path.read_text().strip()
    if len(secret) < console.LEAST_SECRET:
        raise SettingsError(f"PARLEY_DATA_DIR: {path} holds no usable key; remove the file to have a new one made.")
    return secret
