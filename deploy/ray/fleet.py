"""Engine replicas under Ray Serve: each is the ASGI app of `parley engine` on a GPU of its own.

gateways ══▶ Ray's HAProxy, one a node ══▶ a replica ── create_app ──▶ PersonaPlex
                  └─ 503, it is full ─────▶ the next

docs/fleet.md says how to run it; fleet.env is what Ray has to find in its environment.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import ray
import uvicorn.config
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray import serve
from ray.serve.config import AutoscalingContext
from starlette.applications import Starlette

from agent.commands.engine import SWITCH_S, engine_options
from agent.duplex import EngineUnavailable, load_engine
from agent.engines.personaplex.engine import PersonaPlexEngine
from agent.engines.personaplex.fair_socket import FairSocket
from agent.engines.personaplex.patient_http import PatientHttp
from agent.engines.personaplex.server import MOST_MESSAGE_BYTES, ServerOptions, create_app
from agent.logs import configure_logging
from agent.settings import settings
from agent.tracing.chats import TracedChats
from agent.tracing.export import exporting
from agent.wire.sound import check_opus
from agent.wire.token import check_token

ENVIRONMENT = Path(__file__).with_name("fleet.env")

MOST_REQUESTS = 10_000
"""More than an engine has slots: above its own limit Ray lets a call wait unanswered, the engine refuses it at once."""

_FIXED = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
_LONGEST_CONNECTION = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"


class FleetOptions(BaseModel):
    """The ``args`` of fleet.yaml; what they leave out is as PARLEY_ENGINE_… say in the replica's environment."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str = ""
    voices: str = ""
    device: str = ""
    slots: int = Field(0, ge=0, le=1_000)
    """Most calls of one replica; 0 takes as many as its GPU's memory holds."""
    kv: Literal["", "fp8"] = ""
    token: str = ""
    replicas: int = Field(1, ge=1)
    most_replicas: int = Field(0, ge=0)
    """0 keeps it at ``replicas``."""
    full_at: float = Field(0.75, gt=0, le=1)
    """Share of all slots above which another replica is started."""
    scale_down_after_s: float = Field(600.0, ge=0)
    drain_s: float = Field(3_600.0, ge=0)
    """How long a replica that is to go waits for its calls: as long as the longest."""

    @model_validator(mode="after")
    def _settle(self) -> "FleetOptions":
        self.most_replicas = self.most_replicas or self.replicas
        if self.most_replicas < self.replicas:
            raise ValueError("most_replicas must be 0, or at least replicas")
        return self


def app(options: FleetOptions) -> serve.Application:
    """Return the application that fleet.yaml names.

    Raises:
        EngineUnavailable: Ray was started without fleet.env.
    """
    check_environment(os.environ, options.drain_s)
    deployment = serve.deployment(
        name="EngineReplica",
        ray_actor_options={"num_gpus": 1},
        max_ongoing_requests=MOST_REQUESTS,
        graceful_shutdown_timeout_s=options.drain_s,
        graceful_shutdown_wait_loop_s=1,
        health_check_period_s=2,  # the third failure in a row has a replica replaced
        autoscaling_config={
            "min_replicas": options.replicas,
            "max_replicas": options.most_replicas,
            "policy": {"policy_function": wanted_replicas},
            "look_back_period_s": 15,
            "upscale_delay_s": 0,
            "downscale_delay_s": options.scale_down_after_s,
        },
    )
    return deployment(serve.ingress()(EngineReplica)).bind(options)


def check_environment(environment: Mapping[str, str], drain_s: float) -> None:
    """Raise EngineUnavailable where Ray's own defaults would have calls refused, cut off or late."""
    lines = ENVIRONMENT.read_text().splitlines()
    wrong = [line for line in lines if line[:1].isalpha() and line.partition("=")[0] not in environment]
    wrong += [f"{name}={value}" for name, value in _FIXED.items() if environment.get(name, value) != value]
    if float(environment.get(_LONGEST_CONNECTION, drain_s)) < drain_s:
        wrong.append(f"{_LONGEST_CONNECTION}={drain_s:g}, the fleet's drain_s, or more")
    if wrong:
        raise EngineUnavailable(
            f"Start Ray with deploy/ray/fleet.env in its environment, on every node; here it lacks {', '.join(wrong)}."
        )


def wanted_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """Return how many replicas the live calls need; the bounds and the delays are Ray's."""
    figures = context.aggregated_metrics or {}
    room = figures.get("room", {})
    if not room:
        return context.target_num_replicas, {}
    return sum(figures["used"].values()) / sum(room.values()) * len(room), {}


class ReplicaSocket(FairSocket):
    """A call's socket under Ray's uvicorn, whose options can't be set, and which closes all sockets to drain."""

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        config.ws_max_size, config.ws_per_message_deflate = MOST_MESSAGE_BYTES, False
        super().__init__(config, *args, **kwargs)

    async def run_asgi(self) -> None:
        # Ray would take a call's messages into a queue of its own, without bound: this leaves them to the call.
        self.scope["headers"] = [*self.scope["headers"], (b"x-request-disconnect-disabled", b"?1")]
        await super().run_asgi()

    def shutdown(self) -> None:
        """Leave a call alone: the server only stops listening, and Ray waits for the call."""
        if not self.handshake_complete:
            super().shutdown()


class EngineReplica:
    """One engine; up once its model is loaded, replaced once its device has failed."""

    def __init__(self, options: FleetOptions) -> None:
        self._traces = ExitStack()
        check_environment(os.environ, options.drain_s)
        check_opus()
        configure_logging(settings().log_level, settings().log_format)
        self._traces.enter_context(exporting(settings(), "parley-engine"))
        sys.setswitchinterval(SWITCH_S)
        uvicorn.config.HTTP_PROTOCOLS["auto"] = PatientHttp  # pyright: ignore[reportArgumentType]
        uvicorn.config.WS_PROTOCOLS["auto"] = ReplicaSocket  # pyright: ignore[reportArgumentType]
        given = engine_options(options.checkpoint, options.voices, options.device, slots=options.slots, kv=options.kv)
        engine = load_engine("personaplex", given)
        assert isinstance(engine, PersonaPlexEngine)
        token = options.token or settings().engine_token.get_secret_value()
        check_token(token)
        cluster = ray.get_runtime_context().get_session_name()
        self._engine = engine
        self._served = ServerOptions(token=token, replicas=options.most_replicas, instance=cluster)
        self._full_at = options.full_at

    async def __serve_build_asgi_app__(self) -> Starlette:
        await self._engine.start()
        application = create_app(self._engine, self._engine.voices, self._served)
        application.add_middleware(TracedChats)
        return application

    def __del__(self) -> None:
        """Send the last traces; Ray calls it once the calls are over."""
        self._traces.close()

    def check_health(self) -> None:
        if self._engine.failure:
            raise EngineUnavailable(self._engine.failure)

    def record_autoscaling_stats(self) -> dict[str, float]:
        capacity = self._engine.capacity()
        return {"used": capacity.used, "room": capacity.slots * self._full_at}
