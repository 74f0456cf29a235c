"""Full-Duplex-Bench: its folders are read, answered on the user's clock, and scored as its scripts do."""

import json
import math
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from agent.bench.full_duplex.answering import answer_all
from agent.bench.full_duplex.samples import FullDuplexError, Sample, Task, Word, find_samples, read_words
from agent.bench.full_duplex.scores import Scores, divergence, score_backchannels, score_overlap, score_words, took_turn
from agent.bench.full_duplex.speech import merged, segments
from agent.cli import app
from agent.commands.bench_full_duplex import _role
from agent.duplex import FRAME_SAMPLES, SAMPLE_HZ, RoleCard, RolePrompt
from agent.engines.loopback import LoopbackEngine

ROLE = RolePrompt("", "NATF2", RoleCard("", "", "", "", "", "", "", ""))


def put(data: Path, place: str, seconds: float = 1.0, annotation: str = "", held: object = None) -> Path:
    folder = data / place
    folder.mkdir(parents=True)
    noise = np.random.default_rng(1).normal(0, 0.1, round(seconds * SAMPLE_HZ))
    soundfile.write(folder / "input.wav", noise, SAMPLE_HZ)
    if annotation:
        (folder / annotation).write_text(json.dumps(held))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    put(data, "v1_0/candor_turn_taking/10", 1.0, "turn_taking.json", [{"timestamp": [0.4, 0.5]}])
    put(data, "v1_0/candor_turn_taking/9", 1.0, "turn_taking.json", [{"timestamp": [0.3, 0.5]}])
    put(data, "v1_0/candor_pause_handling/1", 1.0, "pause.json", [])
    put(data, "v1_0/synthetic_user_interruption/1", 1.0, "interrupt.json", [{"timestamp": [0.1, 0.6]}])
    put(data, "v1_0/icc_backchannel/1")
    put(data, "v1_5/user_backchannel/1", 1.0, "metadata.json", {"timestamps": [0.2, 0.4]})
    return data


def test_samples_are_found_in_order_with_their_task(data: Path) -> None:
    found = [(sample.place.as_posix(), sample.task, sample.at_s) for sample in find_samples(data)]
    assert found == [
        ("v1_0/candor_pause_handling/1", Task.PAUSE, None),
        ("v1_0/candor_turn_taking/9", Task.TURN, (0.3, 0.5)),
        ("v1_0/candor_turn_taking/10", Task.TURN, (0.4, 0.5)),
        ("v1_0/icc_backchannel/1", Task.BACKCHANNEL, None),
        ("v1_0/synthetic_user_interruption/1", Task.INTERRUPTION, (0.1, 0.6)),
        ("v1_5/user_backchannel/1", Task.OVERLAP, (0.2, 0.4)),
    ]
    assert [sample.subset for sample in find_samples(data / "v1_5")] == ["user_backchannel"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("turn_taking.json", "{"),
        ("turn_taking.json", "[]"),
        ("turn_taking.json", '[{"timestamp": [1]}]'),
        ("turn_taking.json", '[{"timestamp": [2, 1]}]'),
        ("interrupt.json", '[{"timestamp": ["a", "b"]}]'),
        ("metadata.json", '{"timestamps": null}'),
        ("metadata.json", "[1, 2]"),
        ("pause.json", "no json"),
    ],
)
def test_an_annotation_that_is_none_is_named(tmp_path: Path, name: str, text: str) -> None:
    (put(tmp_path, "a/1") / name).write_text(text)
    with pytest.raises(FullDuplexError, match=rf"a/1/{name} can't be read"):
        find_samples(tmp_path)


def test_folders_that_are_not_the_benchmarks_are_named(tmp_path: Path) -> None:
    with pytest.raises(FullDuplexError, match=r"no SUBSET/ID/input\.wav"):
        find_samples(tmp_path)
    put(tmp_path, "talks/1")
    with pytest.raises(FullDuplexError, match=r"talks/1 holds none of"):
        find_samples(tmp_path)


def test_words_of_any_recogniser_are_read(tmp_path: Path) -> None:
    path = tmp_path / "output.json"
    assert read_words(path) is None
    chunks = [{"text": "a", "timestamp": [1, 1.5]}, {"text": "b", "timestamp": [2, None]}]
    path.write_text(json.dumps({"text": "a b c", "chunks": [*chunks, {"text": "c", "timestamp": [None, None]}]}))
    assert read_words(path) == [Word("a", 1, 1.5), Word("b", 2, 2)]
    path.write_text('{"text": "a"}')
    with pytest.raises(FullDuplexError, match=r"output\.json can't be read"):
        read_words(path)


# Scores


def words(*starts: float, length_s: float = 0.2) -> list[Word]:
    return [Word("so", start, start + length_s) for start in starts]


def sample(task: Task, at_s: tuple[float, float] | None = None) -> Sample:
    return Sample("subset", "1", task, Path(), at_s)


@pytest.mark.parametrize(
    ("said", "took"),
    [
        (words(), 0),
        (words(1, 1.2, 1.4), 0),
        (words(1, 1.1, 1.2, 1.3), 1),
        (words(1, 1.9), 1),
        (words(1, length_s=1), 1),
    ],
)
def test_a_turn_is_a_second_or_more_than_three_words(said: list[Word], took: int) -> None:
    assert took_turn(said) == took


def test_latency_is_that_of_the_first_word_where_the_turn_is_taken() -> None:
    assert score_words(sample(Task.TURN, (3, 4)), words(3.5, 5)) == Scores(1, 0.5)
    assert score_words(sample(Task.TURN, (3, 4)), words(2, 5)) == Scores(1, 0)
    assert score_words(sample(Task.TURN, (3, 4)), words(3.5)) == Scores(0)
    assert score_words(sample(Task.PAUSE), words(3.5, 5)) == Scores(1)


def test_an_interruption_is_answered_after_its_end_only() -> None:
    interrupted = sample(Task.INTERRUPTION, (3, 4))
    assert score_words(interrupted, words(1, 2, 3, 3.5)) == Scores(0)
    assert score_words(interrupted, words(1, 2, 4.5, 6)) == Scores(1, 0.5)
    assert score_words(interrupted, words(3.9, 6)) == Scores(1, 0)  # said across the end


def test_backchannels_are_counted_up_to_a_turn() -> None:
    said = words(1, 5, 5.2)
    found = score_backchannels([(0.9, 1.3), (4.9, 5.5)], said, 10, None)
    assert (found.took_turn, found.backchannels_per_s, found.backchannel_jsd) == (0, 0.2, None)
    assert score_backchannels([(0.9, 1.3), (4.9, 8)], said, 10, None).took_turn == 1
    assert score_backchannels([(0.9, 1.3), (4.9, 8)], said, 10, None).backchannels_per_s == 0.1
    assert score_backchannels([(0.9, 2)], said, 10, None).took_turn == 1
    assert score_backchannels([(0.9, 1.5)], words(0.9, 1, 1.1), 10, None).took_turn == 1
    assert score_backchannels([], said, 10, None) == Scores(0, backchannels_per_s=0)


def test_the_divergence_is_0_for_the_same_and_1_for_none() -> None:
    people = [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]
    assert divergence([(0.4, 0.7)], 1.0, people) == pytest.approx(0, abs=1e-4)
    assert divergence([(0.0, 0.1)], 1.0, people) == pytest.approx(math.sqrt(math.log(2)), abs=1e-4)
    assert divergence([], 1.0, people) == 1
    # The root of the divergence, in nats, of (½, ½, 0) and (0, ½, ½): one half of ln 2.
    assert divergence([(0.0, 0.3)], 0.5, [0.0, 0.5, 0.5]) == pytest.approx(math.sqrt(math.log(2) / 2), abs=1e-4)


def test_overlaps_last_until_one_side_stops() -> None:
    found = score_overlap([(0, 2), (2.5, 4), (9, 10)], [(3, 6), (6.4, 7), (10.5, 12)])
    # The user's gap of 0.5 s is filled, and the agent's of 0.4 s.
    assert found == Scores(stops_s=(1.0,), responses_s=(0.5,))
    assert score_overlap([(0, 1), (5, 6)], [(7, 8)]).responses_s == (pytest.approx(1),)
    assert score_overlap([(0, 1)], []) == Scores()


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 5)), max_size=12), st.floats(0, 2))
def test_what_is_merged_lies_further_apart_than_the_gap(parts: list[tuple[float, float]], gap_s: float) -> None:
    given_ = [(start, start + length) for start, length in parts]
    whole = merged(given_, gap_s)
    assert all(later[0] - earlier[1] > gap_s for earlier, later in pairwise(whole))
    assert all(any(start <= s and e <= end for start, end in whole) for s, e in given_)


def test_segments_begin_sure_end_unsure_and_are_padded() -> None:
    def of(*runs: tuple[int, float]) -> list[tuple[float, float]]:
        found = segments([probability for count, probability in runs for _ in range(count)])
        return [(round(start, 3), round(end, 3)) for start, end in found]

    window = 0.032
    assert of((100, 0.1)) == []
    assert of((100, 0.4)) == []
    assert of((10, 0.1), (20, 0.9), (10, 0.1)) == [(0.29, 0.99)]
    assert of((10, 0.1), (20, 0.9), (5, 0.4), (10, 0.1)) == [(0.29, 1.15)]  # unsure is still speech
    assert of((10, 0.1), (7, 0.9), (10, 0.1)) == []  # 0.224 s
    assert of((10, 0.1), (20, 0.9), (3, 0.1), (20, 0.9)) == [(0.29, 53 * window)]
    assert of((20, 0.9), (5, 0.1), (20, 0.9)) == [(0.0, 0.67), (0.77, 45 * window)]


# Answers


@pytest.fixture
async def engine() -> AsyncIterator[LoopbackEngine]:
    engine = LoopbackEngine(slots=2, delay_frames=0)
    await engine.start()
    yield engine
    await engine.close()


@pytest.mark.parametrize("real_time", [True, False])
async def test_answers_lie_on_the_users_clock(engine: LoopbackEngine, tmp_path: Path, real_time: bool) -> None:
    folder = put(tmp_path / "data", "talks_backchannel/1", 0.5)
    (found,) = find_samples(tmp_path / "data")
    result = await answer_all(engine, ROLE, [found], tmp_path / "out", lambda: None, real_time=real_time)
    assert (result.answered, result.failed) == (1, [])
    user, _ = soundfile.read(folder / "input.wav")
    agent, sample_hz = soundfile.read(tmp_path / "out/talks_backchannel/1/output.wav")
    assert sample_hz == SAMPLE_HZ
    assert len(agent) == -(-len(user) // FRAME_SAMPLES) * FRAME_SAMPLES
    lag = int(np.argmax(np.correlate(agent, user[:FRAME_SAMPLES], "valid")))
    assert 0 <= lag <= (SAMPLE_HZ // 4 if real_time else 0)  # what comes late is placed late
    assert not (tmp_path / "out/talks_backchannel/1/output.json").exists()  # it is heard, and says no words


async def test_what_is_answered_is_kept_and_what_fails_is_told(
    engine: LoopbackEngine, data: Path, tmp_path: Path
) -> None:
    samples, out = find_samples(data), tmp_path / "out"
    (samples[0].folder / "input.wav").write_bytes(b"no sound")
    first = await answer_all(engine, ROLE, samples, out, lambda: None, at_once=2, real_time=False)
    assert (first.answered, first.kept) == (5, 0)
    assert [(place.as_posix(), "can't be read" in why) for place, why in first.failed] == [
        ("v1_0/candor_pause_handling/1", True)
    ]
    assert (out / samples[1].place / "turn_taking.json").read_text() == json.dumps([{"timestamp": [0.3, 0.5]}])
    done: list[None] = []
    again = await answer_all(engine, ROLE, samples, out, lambda: done.append(None), real_time=False)
    assert (again.answered, again.kept, len(again.failed), len(done)) == (0, 5, 1, 6)


async def test_no_more_calls_are_held_than_the_engine_has_slots(data: Path, tmp_path: Path) -> None:
    engine = LoopbackEngine(slots=1, delay_frames=0)
    await engine.start()
    found = await answer_all(engine, ROLE, find_samples(data)[:3], tmp_path / "out", lambda: None, at_once=3)
    assert (found.answered, found.failed) == (3, [])
    await engine.close()


async def test_a_full_engine_is_told(engine: LoopbackEngine, data: Path, tmp_path: Path) -> None:
    taken = [await engine.open(ROLE) for _ in range(2)]
    found = await answer_all(engine, ROLE, find_samples(data)[:1], tmp_path / "out", lambda: None)
    assert ["All 2 slots" in why for _, why in found.failed] == [True]
    assert not list((tmp_path / "out").glob("**/output.wav"))
    for session in taken:
        await session.close()


# The command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "full-duplex", *map(str, arguments)])


def test_the_command_answers_scores_and_tells_what_it_could_not_score(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (data, "--out", out, "--engine", "loopback", "--no-real-time", "--json")
    found = run(*arguments)
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["run"]["answered"] == 6
    overlap = report["subsets"]["v1_5/user_backchannel"]
    assert (overlap["task"], overlap["scored"]) == ("overlap", 1)
    assert report["subsets"]["v1_0/candor_turn_taking"] == {
        "task": "smooth_turn_taking",
        "scored": 0,
        "unanswered": 0,
        "wordless": 2,
    }
    assert "5 samples are not scored" in found.stderr

    chunks = [{"text": "so", "timestamp": [0.7, None]}, {"text": "now", "timestamp": [1.8, 2]}]
    for track in out.glob("v1_0/*/*/output.wav"):
        (track.parent / "output.json").write_text(json.dumps({"text": "so now", "chunks": chunks}))
    people = tmp_path / "people.json"
    people.write_text(json.dumps({"1": [0.5, 0.5]}))
    found = run(data, "--out", out, "--score-only", "--people", people, "--limit", 1, "--json")
    subsets = json.loads(found.stdout)["subsets"]
    assert subsets["v1_0/candor_turn_taking"]["fdb_latency_s"] == pytest.approx(0.4)
    assert subsets["v1_0/candor_pause_handling"]["fdb_tor"] == 1
    assert subsets["v1_0/icc_backchannel"]["fdb_bc_jsd"] == 1
    assert "TOR" in run(data, "--out", out, "--score-only").stdout


def test_a_persona_waits_for_the_user() -> None:
    role = _role("brightwater-dental", "", "", 7)
    assert (role.card.greeting, role.seed) == ("", 7)
    assert role.card.facts
    assert "Greet the caller" not in role.text


def test_the_command_answers_beside_the_recordings_unless_it_is_told_where(data: Path) -> None:
    assert run(data, "--engine", "loopback", "--no-real-time", "--limit", 1).exit_code == 0
    assert len(list(data.glob("**/output.wav"))) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--card", "nobody"), "the library has no 'nobody'"),
        (("--people", "no.json"), "icc_gt_distribution.json"),
        (("--engine", "nobody"), "there is no engine 'nobody'"),
    ],
)
def test_what_the_command_is_told_wrong_is_one_sentence(data: Path, arguments: tuple[str, str], sentence: str) -> None:
    found = run(data, *arguments)
    assert found.exit_code != 0
    assert sentence in found.output + str(found.exception)


def test_what_is_not_answered_ends_the_command_with_1(data: Path) -> None:
    (data / "v1_0/icc_backchannel/1/input.wav").write_bytes(b"no sound")
    found = run(data, "--engine", "loopback", "--no-real-time")
    assert found.exit_code == 1
    assert "v1_0/icc_backchannel/1 was not answered" in found.stderr
