"""The bearer token that a server of /api/chat may ask for."""

from agent.duplex import EngineUnavailable


def check_token(token: str) -> None:
    """Raise EngineUnavailable where a token can't be sent in a header; an empty one is none."""
    if not (token.isascii() and (not token or token.isprintable())):
        raise EngineUnavailable("PARLEY_ENGINE_TOKEN must be printable ASCII, as HTTP headers are.")
