"""Calls on other processes' engines: ours, or anybody's PersonaPlex or Moshi server, over /api/chat."""

from collections.abc import Mapping

from agent.duplex import DuplexEngine
from agent.engines.remote.address import addresses_of, slots_of
from agent.engines.remote.engine import RemoteEngine
from agent.wire.sound import check_opus


def create(options: Mapping[str, str]) -> DuplexEngine:
    """Read ``engine_url``, ``engine_token`` and ``engine_slots``; nothing is connected before ``start``.

    Raises:
        EngineUnavailable: one of them can't be used, or the Opus library is missing where it is needed.
    """
    addresses = addresses_of(options)
    if not all(address.pcm for address in addresses):
        check_opus()
    return RemoteEngine(addresses, slots_of(options))
