"""Speech recognition for the phone: pocketsphinx in processes of its own, with a language model made from the card.

audio ─▶ frontend (high band predicted) ─▶ decoder ◀─ language model ◀─ corpus ◀─ card
"""

from collections.abc import Mapping

from agent.engines.cascade.ports import Recogniser


def make_recogniser(options: Mapping[str, str]) -> Recogniser:
    """Create the recogniser; reads ``recogniser_workers`` and ``data_dir``. Nothing is started before ``start``.

    Raises:
        EngineUnavailable: the option is not a whole number from 0 up.
    """
    from agent.engines.cascade.recogniser.recogniser import PocketsphinxRecogniser, workers_of
    from agent.engines.cascade.shelf import shelf_folder

    return PocketsphinxRecogniser(workers_of(options), shelf_folder(options))
