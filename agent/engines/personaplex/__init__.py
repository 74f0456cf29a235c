"""PersonaPlex on torch: many full-duplex calls on one device, each in its own role and voice."""

from collections.abc import Mapping
from importlib.util import find_spec

from agent.duplex import DuplexEngine, EngineUnavailable


def create(options: Mapping[str, str]) -> DuplexEngine:
    """Read the options; nothing is loaded before ``start``.

    Raises:
        EngineUnavailable: torch is not installed, or an option can't be used; the message names the setting.
    """
    require_packages()
    from agent.engines.personaplex.engine import EngineOptions, PersonaPlexEngine

    return PersonaPlexEngine(EngineOptions.read(options))


def require_packages() -> None:
    """Raise EngineUnavailable where a package that the engine imports is not installed."""
    missing = [name for name in ("torch", "safetensors", "sentencepiece") if find_spec(name) is None]
    if missing:
        raise EngineUnavailable(f"The engine 'personaplex' needs {', '.join(missing)}: `make torch` installs it.")
