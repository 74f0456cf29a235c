"""`parley bench engine` prints what it promises; how fast this machine is, is nobody's test."""

import json

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.commands.bench_engine import goals

RUN = ["bench", "engine", "--shape", "tiny", "--device", "cpu", "--slots", "1,2", "--rings", "40", "--seconds", "0.2"]


def test_the_json_has_its_keys_and_sound_figures() -> None:
    done = CliRunner().invoke(app, [*RUN, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == {
        "device", "shape", "kv", "prefill_vs_stepping", "batch_vs_alone", "ready_ms", "first_audio_ms", "ticks",
        "memory_bytes",
    }  # fmt: skip
    assert set(found["ready_ms"]) == {"cold", "voice_cached", "prompt_cached"}
    assert [(row["slots"], row["ring"]) for row in found["ticks"]] == [(1, 40), (2, 40)]
    for row in found["ticks"]:
        assert set(row) == {"slots", "ring", "p50_ms", "p95_ms", "p99_ms", "max_ms", "late"}
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert min(found["prefill_vs_stepping"], found["batch_vs_alone"]) > 0
    assert found["first_audio_ms"] > 80
    assert found["memory_bytes"] > 1_000_000


def test_what_was_not_measured_says_so() -> None:
    done = CliRunner().invoke(app, [*RUN, "--kv", "fp8"], env={"COLUMNS": "140"})
    assert done.exit_code == 0, done.output
    assert "keys and values fp8" in done.stdout
    assert done.stdout.count("not measured") == 7
    row = {"p50_ms": 7.5, "p99_ms": 70.0, "late": 0}
    found = {
        "device": "NVIDIA H100", "shape": "published", "kv": "bfloat16", "prefill_vs_stepping": 50.0,
        "batch_vs_alone": 7.0, "ready_ms": {"cold": 120.0, "voice_cached": 90.0, "prompt_cached": 4.0},
        "ticks": [{"slots": 1, "ring": 300} | row, {"slots": 40, "ring": 3000} | row],
    }  # fmt: skip
    said = [value for _, value in goals(found)]
    none = "not measured"
    assert said == [none, none, "7.5 ms, 0 frames late", none, "70.0 ms, 0 frames late", none, "120.0 ms, 4.0 ms"]
    assert [value for _, value in goals(found | {"device": "CPU, 2 threads", "shape": "small"})] == [
        "50.0 times", "7.0 times", *[none] * 5
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (["--shape", "huge"], "There is no shape 'huge'"),
        (["--rings", "5000"], "A ring of 5000 steps does not fit: tiny has 1024"),
        (["--slots", "0"], "from 1 up"),
        (["--slots", "many"], "whole numbers"),
        (["--kv", "int4"], "not in 'int4'"),
        (["--seconds", "inf"], "86400"),
        (["--slots", "9000000"], "9000000 slots do not fit on cpu"),
        (["--device", "tpu9"], "PARLEY_ENGINE_DEVICE"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(changed: list[str], sentence: str) -> None:
    done = CliRunner().invoke(app, [*RUN, *changed])
    assert done.exit_code != 0
    assert sentence in f"{done.output} {done.exception}"
