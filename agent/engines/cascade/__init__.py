"""The embedded default: voice activity → speech recognition → answer → speech synthesis, behind the duplex port.

Everything comes from packages; nothing is downloaded, no GPU is needed. It is for development, tests,
demos and as a fallback: intelligible, offline, and no match for a full-duplex model.
"""

from collections.abc import Mapping

from agent.duplex import DuplexEngine


def create(options: Mapping[str, str]) -> DuplexEngine:
    """Put the parts together; nothing is loaded before ``start``. Options are listed in docs/settings.md.

    Raises:
        EngineUnavailable: an option can't be used; the message names the setting.
    """
    # Imported here, since recognition's processes import this package for their own modules only.
    from agent.engines.cascade.engine import CascadeEngine, slots_of
    from agent.engines.cascade.recogniser import make_recogniser
    from agent.engines.cascade.responder import make_responder
    from agent.engines.cascade.voice import make_voice

    return CascadeEngine(make_recogniser(options), make_responder(options), make_voice(options), slots_of(options))
