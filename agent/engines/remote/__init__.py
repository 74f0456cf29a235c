"""Calls on another process's engine: ours, or anybody's PersonaPlex or Moshi server, over /api/chat."""

from collections.abc import Mapping

from agent.duplex import DuplexEngine
from agent.engines.remote.address import Address, slots_of
from agent.engines.remote.engine import RemoteEngine
from agent.wire.sound import check_opus


def create(options: Mapping[str, str]) -> DuplexEngine:
    """Read ``engine_url``, ``engine_token`` and ``engine_slots``; nothing is connected before ``start``.

    Raises:
        EngineUnavailable: one of them can't be used, or the Opus library is missing where it is needed.
    """
    address = Address.read(options)
    if not address.pcm:
        check_opus()
    return RemoteEngine(address, slots_of(options))
