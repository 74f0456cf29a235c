"""Alerts ask for figures that the gateway and the engine really print, by labels that they really bear."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import httpx
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


def printed(text: str) -> set[str]:
    """Return the names of all samples, and those that a counter or histogram with labels has once it counts."""
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
    for name, kind in re.findall(r"# TYPE (\S+) (\S+)", text):
        names |= {name + end for end in ("_bucket", "_count", "_sum")} if kind == "histogram" else {name}
    return names


async def test_alerts_ask_for_figures_that_exist(open_exchange: Open) -> None:
    where = await open_exchange()
    async with httpx.AsyncClient(trust_env=False) as http:
        gateway = printed((await http.get(f"{where.url}/metrics")).text)
    counted = dict.fromkeys(COUNTERS, 0) | {"tick_s": (0.01,), "prompt_s": (0.1,)}
    engine = SimpleNamespace(capacity=lambda: Capacity(4, 1), counters=SimpleNamespace(**counted))
    known = gateway | printed(ServerMetrics(engine).text().decode())  # pyright: ignore[reportArgumentType]
    assert "parley_calls_total" in known
    asked = {name for rule in rules() for name in FIGURE.findall(str(rule["expr"]))}
    assert len(asked) > 8
    assert asked <= known


def test_alerts_ask_for_outcomes_that_exist() -> None:
    named = {
        outcome
        for rule in rules()
        for choice in re.findall(r'outcome=~?"([^"]*)"', str(rule["expr"]))
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
