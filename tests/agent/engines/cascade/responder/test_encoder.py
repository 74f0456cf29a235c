"""The encoder: vectors are kept for the next process, found whole or made again."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from agent.engines.cascade.responder.encoder import BATCH, Encoder
from agent.engines.cascade.responder.sentence_model import SentenceModel
from agent.engines.cascade.shelf import Shelf

TEXTS = [f"where is parcel number {number}" for number in range(BATCH + 3)]


async def prepared(folder: Path | None, texts: list[str]) -> dict[str, np.ndarray]:
    encoder = Encoder(None if folder is None else Shelf(folder))
    await encoder.start()
    try:
        return await asyncio.wrap_future(encoder.prepare(texts))
    finally:
        await encoder.close()


async def test_a_second_process_encodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await prepared(tmp_path, TEXTS)
    real, encoded = SentenceModel.encode, []
    monkeypatch.setattr(SentenceModel, "encode", lambda model, texts: encoded.extend(texts) or real(model, texts))
    second = await prepared(tmp_path, TEXTS[::-1])
    assert encoded == []
    assert first.keys() == second.keys() == set(TEXTS)
    assert all(np.array_equal(first[text], second[text]) for text in TEXTS)
    assert len(await prepared(tmp_path, [*TEXTS, "hello"])) == len(TEXTS) + 1
    assert "hello" in encoded


async def test_damaged_vectors_are_made_again(tmp_path: Path) -> None:
    first = await prepared(tmp_path, TEXTS)
    _damage(tmp_path)
    second = await prepared(tmp_path, TEXTS)
    assert all(np.allclose(first[text], second[text], atol=1e-5) for text in TEXTS)


def _damage(folder: Path) -> None:
    (path,) = folder.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-40])


async def test_without_a_writable_folder_vectors_are_in_memory_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file"):
        assert len(await prepared(folder, TEXTS)) == len(TEXTS)
        assert await prepared(folder, []) == {}
