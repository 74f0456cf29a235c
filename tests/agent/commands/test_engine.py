"""`parley engine` and `parley infer` where they can't run: one sentence, no traceback."""

import importlib.util

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from agent.cli import app
from agent.duplex import EngineUnavailable
from agent.settings import settings


@pytest.fixture
def parley(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    soundfile.write(tmp_path / "in.wav", np.zeros(8_000), 8_000)
    yield lambda *args: CliRunner().invoke(app, [*args])
    settings.cache_clear()


@pytest.mark.parametrize("args", [("engine", "--tiny"), ("infer", "in.wav", "out.wav", "--tiny")])
def test_without_torch_they_name_the_remedy(parley, monkeypatch, args):
    monkeypatch.setattr("agent.engines.personaplex.find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match="make torch"):
        raise parley(*args).exception


@pytest.mark.parametrize("args", [("engine",), ("infer", "in.wav", "out.wav")])
def test_tiny_is_a_model_of_its_own(parley, args):
    assert parley(*args, "--tiny", "--checkpoint", "somewhere").exit_code == 2


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed; `make torch` installs it"
)
def test_no_model_is_told(parley):
    for args in (("engine",), ("infer", "in.wav", "out.wav")):
        with pytest.raises(EngineUnavailable, match="PARLEY_ENGINE_CHECKPOINT"):
            raise parley(*args).exception
