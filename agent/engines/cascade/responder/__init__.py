"""What a cascade answers: the responder that runs from packages alone, or a chat endpoint.

    Transcript ──▶ readings, clauses ──▶ meaning and sound against the card ──▶ Reply, Reply, …

``Reply.text`` is written text ("$49.99"); a voice passes it through
``agent.engines.cascade.normalise.speakable`` before it speaks.
"""

from collections.abc import Mapping

from agent.engines.cascade.ports import Responder

__all__ = ["make_responder"]


def make_responder(options: Mapping[str, str]) -> Responder:
    """Choose the responder: a chat endpoint where ``llm_base_url`` is set, else the embedded one.

    ``options`` are engine options (agent.duplex.load_engine); ``llm_base_url``, ``llm_api_key``, ``llm_model``
    and ``data_dir`` are read, others ignored. Nothing is loaded before ``start``.

    Raises:
        EngineUnavailable: ``llm_base_url`` is set and can't be used as it stands.
    """
    from agent.engines.cascade.responder.embedded import EmbeddedResponder
    from agent.engines.cascade.shelf import shelf_folder

    embedded = EmbeddedResponder(shelf_folder(options))
    if options.get("llm_base_url"):
        from agent.engines.cascade.responder.chat import ChatResponder

        return ChatResponder(
            options["llm_base_url"], options.get("llm_api_key", ""), options.get("llm_model", ""), embedded
        )
    return embedded
