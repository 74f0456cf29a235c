"""`parley bench engine` prints what it promises; how fast this machine is, is nobody's test."""

import json

import pytest
from typer.testing import CliRunner

from agent.cli import app

RUN = ["bench", "engine", "--shape", "tiny", "--device", "cpu", "--slots", "1,2", "--rings", "40", "--seconds", "0.2"]


def test_the_json_has_its_keys_and_sound_figures() -> None:
    done = CliRunner().invoke(app, [*RUN, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == {
        "device", "shape", "prefill_vs_stepping", "batch_vs_alone", "ready_ms", "ticks", "memory_bytes",
    }  # fmt: skip
    assert set(found["ready_ms"]) == {"cold", "voice_cached", "prompt_cached"}
    assert [(row["slots"], row["ring"]) for row in found["ticks"]] == [(1, 40), (2, 40)]
    for row in found["ticks"]:
        assert set(row) == {"slots", "ring", "p50_ms", "p95_ms", "p99_ms", "max_ms", "late"}
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert min(found["prefill_vs_stepping"], found["batch_vs_alone"]) > 0
    assert found["memory_bytes"] > 1_000_000


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (["--shape", "huge"], "There is no shape 'huge'"),
        (["--rings", "5000"], "A ring of 5000 steps does not fit: tiny has 1024"),
        (["--slots", "0"], "from 1 up"),
        (["--slots", "many"], "whole numbers"),
        (["--device", "tpu9"], "PARLEY_ENGINE_DEVICE"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(changed: list[str], sentence: str) -> None:
    done = CliRunner().invoke(app, [*RUN, *changed])
    assert done.exit_code != 0
    assert sentence in f"{done.output} {done.exception}"
