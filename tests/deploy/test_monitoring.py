"""Alerts and the dashboard ask for figures that are really printed, by labels that they really bear."""

import json
import re
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import httpx
import pytest
import yaml

from agent.duplex import Capacity
from agent.engines.personaplex.metrics import ServerMetrics
from crm.call import Outcome
from tests.agent.conftest import Open

HERE = Path(__file__).parents[2] / "deploy" / "monitoring"
FIGURE = re.compile(r"\bparley_[a-z_]+\b")
COUNTERS = ("ticks", "late_frames", "shed_frames", "prompts", "anchors", "lost_calls")


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load((HERE / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads((HERE / "grafana-dashboard.json").read_text())["panels"]


ALERTS = [str(rule["expr"]) for rule in rules()]
DASHBOARD = [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def printed(text: str) -> set[str]:
    """Return the names of all samples, and those that a counter or histogram with labels has once it counts."""
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
    for name, kind in re.findall(r"# TYPE (\S+) (\S+)", text):
        names |= {name + end for end in ("_bucket", "_count", "_sum")} if kind == "histogram" else {name}
    return names


async def test_what_is_asked_for_exists(open_exchange: Open) -> None:
    where = await open_exchange()
    async with httpx.AsyncClient(trust_env=False) as http:
        gateway = printed((await http.get(f"{where.url}/metrics")).text)
    counted = dict.fromkeys(COUNTERS, 0) | {"tick_s": (0.01,), "prompt_s": (0.1,)}
    cache = SimpleNamespace(hits=0, misses=0, byte_count=0)
    engine = SimpleNamespace(capacity=lambda: Capacity(4, 1), counters=SimpleNamespace(**counted), cache=cache)
    known = gateway | printed(ServerMetrics(engine).text().decode())  # pyright: ignore[reportArgumentType]
    assert "parley_calls_total" in known
    for expressions in ALERTS, DASHBOARD:
        asked = {name for expression in expressions for name in FIGURE.findall(expression)}
        assert len(asked) > 8
        assert asked <= known


@pytest.mark.parametrize("expressions", [ALERTS, DASHBOARD], ids=["alerts", "dashboard"])
def test_outcomes_that_are_asked_for_exist(expressions: list[str]) -> None:
    named = {
        outcome
        for expression in expressions
        for choice in re.findall(r'outcome=~?"([^"]*)"', expression)
        for outcome in choice.split("|")
    }
    assert named
    assert named <= set(get_args(Outcome))


def test_every_alert_says_what_happens_and_what_to_do() -> None:
    jobs = {job["job_name"] for job in yaml.safe_load((HERE / "prometheus.yml").read_text())["scrape_configs"]}
    for rule in rules():
        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})
        assert set(rule["annotations"]) == {"summary", "action"}  # pyright: ignore[reportArgumentType]
        assert set(re.findall(r'job="([^"]*)"', str(rule["expr"]))) <= jobs


def test_panels_say_what_they_show_and_stand_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in panels()]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(place["x"] + place["w"] <= 24 for place in places)  # Grafana's columns
    assert len({panel["id"] for panel in panels()}) == len(places)
    assert all(panel["type"] == "row" or panel["description"] for panel in panels())
