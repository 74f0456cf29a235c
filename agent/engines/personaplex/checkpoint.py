"""A checkpoint's files, by folder or by name on the Hugging Face Hub, and what is made of them."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.text import SentencePieces, TextTable, TinyWords
from agent.engines.personaplex.voices import FileVoices, RandomVoices, Voices
from agent.engines.personaplex.weights import LM_FILE, MIMI_FILE, TEXT_FILE, VOICES_FILE, load_lm, load_mimi

HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
HUB_FILES = (MIMI_FILE, TEXT_FILE, VOICES_FILE, LM_FILE)


@dataclass(frozen=True, slots=True)
class Models:
    """All that is loaded once and never changes."""

    lm: PersonaPlexLM
    mimi: Mimi
    text: TextTable
    voices: Voices
    device: torch.device
    is_random: bool


def load_models(
    checkpoint: str, voices: str, device: torch.device, dtype: torch.dtype, *, fused: bool = False
) -> Models:
    """Load a folder, a Hub id, or, by a name of ``config.SHAPES``, a model with random weights.

    See ``layers.settle`` for ``fused``.

    Raises:
        CheckpointError: one sentence on what is missing or does not fit.
        VoiceError: the voice folder can't be read.
    """
    torch.backends.cudnn.allow_tf32 = False  # the codec's codes would differ from the reference's
    if checkpoint in SHAPES:
        lm, mimi = random_models(checkpoint, device, dtype, fused=fused)
        found = FileVoices(Path(voices), lm.config) if voices else RandomVoices()
        return Models(lm, mimi, TinyWords(lm.config.text_card), found, device, is_random=True)
    folder = checkpoint_folder(checkpoint)
    lm_config, mimi_config = SHAPES["published"]
    text = SentencePieces(folder / TEXT_FILE, lm_config.text_card)
    found = FileVoices(Path(voices) if voices else _voices_of(folder), lm_config)
    mimi = load_mimi(folder / MIMI_FILE, mimi_config, device, fused=fused)
    lm = load_lm(folder / LM_FILE, lm_config, device, dtype, fused=fused)
    return Models(lm, mimi, text, found, device, is_random=False)


def checkpoint_folder(checkpoint: str) -> Path:
    """Return the folder that holds a checkpoint's files; a Hub id is downloaded, or found where it was.

    Raises:
        CheckpointError: there is no such folder, or the Hub does not give it.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_ID.match(checkpoint) or folder.is_absolute():
        raise CheckpointError(f"There is no folder {checkpoint}, and it is no Hub id such as nvidia/personaplex-7b-v1.")
    return _download(checkpoint)


def _download(hub_id: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        paths = [Path(hf_hub_download(hub_id, name)) for name in HUB_FILES]
    except GatedRepoError as error:
        raise CheckpointError(
            f"{hub_id} is gated: accept its licence on huggingface.co and set HF_TOKEN to a token of that account."
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"The Hub has no {hub_id}, or HF_TOKEN does not open it.") from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(f"{hub_id} was never downloaded and the Hub can't be reached; give a folder.") from error
    except EntryNotFoundError as error:
        raise CheckpointError(f"{hub_id} lacks one of {', '.join(HUB_FILES)}.") from error
    except OSError as error:
        raise CheckpointError(f"{hub_id} could not be downloaded ({type(error).__name__}: {error}).") from error
    return paths[-1].parent


def _voices_of(folder: Path) -> Path:
    unpacked = folder / "voices"
    source = unpacked if unpacked.is_dir() else folder / VOICES_FILE
    if not source.exists():
        raise CheckpointError(f"There is neither {unpacked} nor {source}: name a folder of voices.")
    return source
