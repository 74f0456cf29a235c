"""Checkpoints, text tables and voices: what is taken, and one sentence for what is not."""

import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from agent.duplex import EngineUnavailable, load_engine
from agent.engines.personaplex.checkpoint import checkpoint_folder, load_models
from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.errors import CheckpointError, VoiceError
from agent.engines.personaplex.model.layers import packed, product
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.text import SentencePieces, TinyWords
from agent.engines.personaplex.voices import FileVoices, RandomVoices, Recording, recording
from agent.engines.personaplex.weights import load_lm, load_mimi

CPU = torch.device("cpu")
LM_CONFIG, MIMI_CONFIG = SHAPES["tiny"]
TENSORS = {
    name: torch.randn(tensor.shape, generator=torch.Generator().manual_seed(len(name)))
    for name, tensor in PersonaPlexLM(LM_CONFIG).state_dict().items()
}


def lm_tensors() -> dict[str, torch.Tensor]:
    return dict(TENSORS)


def refuse(tensors: dict[str, torch.Tensor], folder: Path) -> str:
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_lm(folder / "model.safetensors", LM_CONFIG, CPU, torch.float32)
    assert str(caught.value).endswith(".")
    return str(caught.value)


# Weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_of_eight_depth_steps_loads_as_it_was_saved(dtype: torch.dtype, tmp_path: Path) -> None:
    """Stacks are taken apart, tables get a row of zeros, or are put together; the CPU's matrices are laid out anew."""
    save_file(lm_tensors(), tmp_path / "model.safetensors")
    lm = load_lm(tmp_path / "model.safetensors", LM_CONFIG, CPU, dtype)
    loaded = {name: tensor.to_dense() if tensor.is_mkldnn else tensor for name, tensor in lm.state_dict().items()}
    for layer in range(LM_CONFIG.depformer_num_layers):
        attention = f"depformer.layers.{layer}.self_attn"
        for stack, parts in (("in_proj_weight", "inward"), ("out_proj.weight", "outward")):
            loaded[f"{attention}.{stack}"] = torch.cat([loaded.pop(f"{attention}.{parts}.{k}") for k in range(8)])
    streams = ["text_emb.weight", *(f"emb.{k}.weight" for k in range(16))]
    tables = loaded.pop("table").split([len(TENSORS[name]) + 1 for name in streams])
    loaded |= dict(zip(streams, tables, strict=True))
    for name in [*streams, "depformer_text_emb.weight", *(f"depformer_emb.{k}.weight" for k in range(7))]:
        *_, added = loaded[name]
        assert not added.any()
        loaded[name] = loaded[name][:-1]
    assert loaded.keys() == TENSORS.keys()
    assert all(torch.equal(loaded[name], tensor.to(dtype)) for name, tensor in TENSORS.items())


def test_a_packed_matrix_is_the_matrix() -> None:
    weight = torch.randn(384, 96)
    laid_out = packed(weight)
    for rows in (1, 2, 8, 50):
        x = torch.randn(2, rows, 96)
        torch.testing.assert_close(product(x, laid_out), F.linear(x, weight), rtol=1e-5, atol=1e-4)
    assert torch.equal(packed(weight.bfloat16()), weight.bfloat16())


def test_weights_are_cast_to_the_dtype_asked_for(tmp_path: Path) -> None:
    save_file(lm_tensors(), tmp_path / "model.safetensors")
    loaded = load_lm(tmp_path / "model.safetensors", LM_CONFIG, CPU, torch.bfloat16)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.bfloat16}


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = lm_tensors()
    del tensors["out_norm.alpha"]
    assert "lacks 1 of the model's tensors, out_norm.alpha" in refuse(tensors, tmp_path)


def test_an_unknown_tensor_is_named(tmp_path: Path) -> None:
    assert "extra.weight" in refuse(lm_tensors() | {"extra.weight": torch.zeros(1)}, tmp_path)


def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    sentence = refuse(lm_tensors() | {"text_linear.weight": torch.zeros(512, 65)}, tmp_path)
    assert "text_linear.weight has the shape [512, 65], the model expects [512, 64]" in sentence


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_a_quantised_tensor_is_named(dtype: torch.dtype, tmp_path: Path) -> None:
    sentence = refuse(lm_tensors() | {"out_norm.alpha": torch.zeros(1, 1, 64).to(dtype)}, tmp_path)
    assert "out_norm.alpha is kept as" in sentence
    assert "quantised" in sentence


def test_a_torn_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match="There is no file"):
        load_lm(path, LM_CONFIG, CPU, torch.float32)
    save_file(lm_tensors(), path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_lm(path, LM_CONFIG, CPU, torch.float32)
    path.write_bytes(b"<html>Sign in</html>")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_mimi(path, MIMI_CONFIG, CPU)


@pytest.mark.parametrize("folder", ["../nowhere", "./no/where", "~/nowhere", "/nowhere"])
def test_a_folder_that_is_none_is_not_asked_of_the_hub(folder: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"there is no folder {folder}"):
        load_engine("personaplex", {"engine_checkpoint": folder})


def test_a_folder_that_is_none_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere, and it is no Hub id"):
        checkpoint_folder(str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match="There is no file"):
        load_models(str(tmp_path), "", CPU, torch.float32)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "PARLEY_ENGINE_CHECKPOINT"),
        ({"engine_checkpoint": "tiny", "engine_slots": "many"}, "PARLEY_ENGINE_SLOTS"),
    ],
)
def test_options_that_cannot_be_used_name_their_setting(options: dict[str, str], word: str) -> None:
    with pytest.raises(EngineUnavailable, match=word):
        load_engine("personaplex", options)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda"])
async def test_a_device_that_is_not_there_is_named(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has one")  # pragma: no cover
    engine = load_engine("personaplex", {"engine_checkpoint": "tiny", "engine_device": device})
    with pytest.raises(EngineUnavailable, match="PARLEY_ENGINE_DEVICE"):
        await engine.start()


# Text


def test_pieces_carry_their_space_and_padding_is_no_text(tmp_path: Path) -> None:
    import sentencepiece

    text = [f"the {a} {b} calls about waste on {c}" for a in "abcdefgh" for b in "klmno" for c in ("monday", "friday")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    (tmp_path / "text.model").write_bytes(model.getvalue())
    card = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
    table = SentencePieces(tmp_path / "text.model", card)
    pieces = [table.piece(token) for token in range(4, card)]
    assert any(piece.startswith(" ") and len(piece) > 1 for piece in pieces)
    assert not any("▁" in piece for piece in pieces)
    assert " friday".endswith(table.piece(table.encode("on friday")[-1]))
    assert (table.piece(0), table.piece(3), table.piece(card), table.encode("")) == ("", "", "", [])
    with pytest.raises(CheckpointError, match=f"has {card} pieces, the model expects 32000"):
        SentencePieces(tmp_path / "text.model", 32_000)
    (tmp_path / "text.model").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not a SentencePiece model"):
        SentencePieces(tmp_path / "text.model", card)


def test_the_tiny_table_stays_within_its_card() -> None:
    table = TinyWords(512)
    tokens = table.encode("You are Dana of Northwind Waste.")
    assert len(tokens) == 6
    assert all(4 <= token < 512 for token in tokens)
    assert all(table.piece(token).startswith(" ") for token in range(4, 512))
    assert {table.piece(token) for token in (0, 3, 512, -1)} == {""}


# Voices


def pt(held: object) -> bytes:
    data = io.BytesIO()
    torch.save(held, data)
    return data.getvalue()


def published(frames: int = 5, width: int = LM_CONFIG.dim) -> dict[str, torch.Tensor]:
    return {"embeddings": torch.randn(frames, 1, 1, width), "cache": torch.zeros(1, 17, 4, dtype=torch.int64)}


def wav(seconds: float = 1.0, hz: int = 16_000, gain: float = 0.02) -> bytes:
    return written(gain * np.random.default_rng(0).normal(size=round(seconds * hz)), hz)


def written(sound: np.ndarray, hz: int) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, sound, hz, format="WAV", subtype="FLOAT")
    return data.getvalue()


def test_voices_of_a_folder_and_of_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    folder.mkdir()
    (folder / "NATF2.pt").write_bytes(pt(published()))
    (folder / "Ana Maria.wav").write_bytes(wav())
    (folder / "notes.txt").write_text("no voice")
    (folder / "._NATF2.pt").write_bytes(b"what macOS packs beside a file")
    with tarfile.open(tmp_path / "voices.tgz", "w:gz") as archive:
        archive.add(folder, "voices")
    for source in (folder, tmp_path / "voices.tgz"):
        voices = FileVoices(source, LM_CONFIG)
        assert voices.names() == ["Ana Maria.wav", "NATF2.pt"]
        assert (voices.check("NATF2"), voices.check("NATF2.pt")) == ("NATF2.pt", "NATF2.pt")
        embedded, sound = voices.load("NATF2.pt"), voices.load("Ana Maria.wav")
        assert embedded.embeddings.shape == (5, LM_CONFIG.dim)
        assert isinstance(sound, Recording)
        assert sound.frames.shape == (13, 1920)


def test_a_folder_without_voices_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no voice")
    with pytest.raises(VoiceError, match=r"There is no voice in .*\.wav or \.pt"):
        FileVoices(tmp_path, LM_CONFIG)


@pytest.mark.parametrize("data", [b"\x1f\x8b torn", b"no archive", b""])
def test_an_archive_that_cannot_be_read_is_named(data: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "whole.tgz", "w:gz") as archive:
        archive.add(__file__, "voices/NATF2.pt")
    whole = (tmp_path / "whole.tgz").read_bytes()
    for torn in (data, whole[: len(whole) // 2], whole[:20] + bytes(50) + whole[70:]):
        (tmp_path / "voices.tgz").write_bytes(torn)
        with pytest.raises(VoiceError, match=r"voices.tgz can't be read \(\w+\); give a folder or a .tgz archive\.$"):
            FileVoices(tmp_path / "voices.tgz", LM_CONFIG)


@pytest.mark.parametrize("name", ["../NATF2.pt", "/etc/passwd", "a/NATF2", "..", "", "NATF9", "NATF2\0", "x" * 500])
def test_a_voice_outside_the_folder_is_no_voice(name: str, tmp_path: Path) -> None:
    (tmp_path / "NATF2.pt").write_bytes(pt(published()))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.wav").write_bytes(wav())
    for voices in (FileVoices(tmp_path, LM_CONFIG), FileVoices(tmp_path / "inner", LM_CONFIG), RandomVoices()):
        with pytest.raises(VoiceError, match="There is no voice"):
            voices.check(name)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("/tmp/parley-trap", "w"))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (pt({"embeddings": Trap(), "cache": 1}), "not a file of tensors"),
        (b"PK\x03\x04 torn", "not a file of tensors"),
        (b"", "not a file of tensors"),
        (pt({"embeddings": torch.zeros(3, 1, 1, 64)}), "must hold"),
        (pt([1, 2]), "must hold"),
        (pt(published() | {"embeddings": torch.zeros(3, 1, 1, 64, dtype=torch.int64)}), "which are floats"),
        (b"\x80\x02]e.", "not a file of tensors"),
        (pt(published(width=4096)), "not \\[frames, 64\\]"),
        (pt(published() | {"cache": torch.zeros(1, 9, 4)}), "not \\[17, 4\\]"),
        (pt(published() | {"cache": torch.zeros(17, 4)}), "the model expects"),
        (pt(published() | {"cache": torch.full((1, 17, 4), 5000)}), "no tokens"),
        (pt(published() | {"embeddings": torch.full((3, 1, 1, 64), torch.nan)}), "no tokens"),
    ],
)
def test_a_pt_file_that_is_no_voice_is_refused_and_never_run(data: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "NATF2.pt").write_bytes(data)
    with pytest.raises(VoiceError, match=word):
        FileVoices(tmp_path, LM_CONFIG).load("NATF2.pt")
    assert not Path("/tmp/parley-trap").exists()


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"RIFF torn", "can be read"), (wav(0.1), "lasts 0.1 s"), (wav(61, 8000), "lasts 61"), (wav(gain=0), "silent")],
)
def test_a_wav_that_is_no_voice_is_refused(data: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(VoiceError, match=word):
        FileVoices(tmp_path, LM_CONFIG).load("a.wav")


@pytest.mark.parametrize("hz", [8_000, 24_000, 44_100])
def test_a_voice_is_as_loud_as_the_standard_says(hz: int) -> None:
    """ITU-R BS.1770-4: a full-scale 997 Hz sine in one channel reads -3.01 LUFS; pauses do not count."""
    sine = 0.5 * np.sin(2 * np.pi * 997 * np.arange(4 * hz) / hz)
    for sound in (sine, np.concatenate((sine, np.zeros(4 * hz), sine))):
        frames = recording(written(sound, hz), "a").numpy().ravel()
        assert np.abs(frames[24_000:72_000]).max() == pytest.approx(10 ** ((-24 + 3.01) / 20), rel=0.03)


def test_a_voice_keeps_its_peaks_and_its_last_moment() -> None:
    """As the reference: what is louder than full scale is not clipped, the last frame is filled with silence."""
    sound = np.random.default_rng(0).normal(0, 0.001, 2 * 24_000 + 100)
    sound[24_000] = 0.5
    frames = recording(written(sound, 24_000), "a")
    assert frames.shape == (26, 1_920)
    assert frames.abs().max() > 1
    assert frames[-1, :100].all()
    assert not frames[-1, 100:].any()


# The Hub


class Hub(BaseHTTPRequestHandler):
    """A Hub that answers every request with one status and one of the Hub's error codes."""

    answer: ClassVar[tuple[int, str]] = (500, "")

    def do_HEAD(self) -> None:
        status, code = self.answer
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, "GatedRepo"), r"^our/model is gated: accept its licence .* set HF_TOKEN"),
        ((404, "RepoNotFound"), r"^The Hub has no our/model, or HF_TOKEN does not open it\.$"),
        ((404, "EntryNotFound"), r"^our/model lacks one of .*model\.safetensors\.$"),
        (None, r"^our/model was never downloaded and the Hub can't be reached; give a folder\.$"),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(
    answer: tuple[int, str] | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", answer is None)
        monkeypatch.setattr(Hub, "answer", answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(CheckpointError, match=sentence) as caught:
            checkpoint_folder("our/model")
        assert str(caught.value).endswith(".")
        server.shutdown()
