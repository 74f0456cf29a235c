"""Speech recognition for the phone: pocketsphinx in processes of its own, with a language model made from the card.

audio ─▶ frontend (high band predicted) ─▶ decoder ◀─ language model ◀─ corpus ◀─ card
"""

from collections.abc import Mapping

from agent.engines.cascade.ports import Recogniser


def make_recogniser(options: Mapping[str, str]) -> Recogniser:
    """Create the recogniser; reads the option ``recogniser_workers``. Nothing is started before ``start``.

    Raises:
        EngineUnavailable: the option is not a whole number from 0 up.
    """
    from agent.engines.cascade.recogniser.recogniser import PocketsphinxRecogniser, workers_of

    return PocketsphinxRecogniser(workers_of(options))
