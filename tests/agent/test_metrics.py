"""What Prometheus sees of calls that were really made, and who may see it."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from agent.lag import LoopLag
from agent.live import CallOver, CallStarted, Noted
from agent.metrics import GatewayMetrics, is_allowed
from telephony.simulator import twiml
from telephony.simulator.signing import new_sid
from tests.agent.conftest import Open
from tests.agent.exchange import NOBODYS_NUMBER, Exchange


async def get(where: Exchange, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(where.url + path, headers=headers)


def value(text: str, name: str) -> float:
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " ")), 0.0)


async def test_calls_and_webhooks_are_counted(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as stream:
        await stream.frames(3)
        await stream.heard()
        during = (await get(where, "/metrics")).text
        await stream.send("stop", stop={})
        await stream.closed()
    await where.row(stream.call_id)
    await where.ring(new_sid("CA"), to_number=NOBODYS_NUMBER)
    after = (await get(where, "/metrics")).text
    assert value(during, "parley_calls_live") == 1
    assert value(after, "parley_calls_live") == 0
    assert value(after, 'parley_calls_total{outcome="caller_hung_up"}') == 1
    assert value(after, 'parley_calls_total{outcome="unknown_number"}') == 1
    assert value(after, 'parley_webhook_seconds_count{path="/twilio/voice",status="200"}') == 2
    assert value(after, "parley_loop_lag_seconds_count") > 0


def test_a_calls_figures_and_alarms_are_summed(tmp_path: Path) -> None:
    metrics = GatewayMetrics(tmp_path)
    metrics.count("c", CallStarted("slug", "Title"))
    metrics.count("c", Noted("line_lossy", 5, "much"))
    metrics.count("c", Noted("digit", 5))
    figures = {"underruns": 2, "line_gaps": 3, "silence_shed_ms": 160, "playout_backlog_p95_ms": 90}
    metrics.count("c", CallOver("engine_lost", 1_000, figures))
    text = metrics.text().decode()
    assert value(text, "parley_underruns_total") == 2
    assert value(text, "parley_line_gaps_total") == 3
    assert value(text, "parley_shed_seconds_total") == pytest.approx(0.16)
    assert value(text, 'parley_playout_backlog_seconds_bucket{le="0.1"}') == 1
    assert value(text, 'parley_call_alarms_total{kind="line_lossy"}') == 1
    assert "digit" not in text


def test_the_room_on_the_disk_is_told(tmp_path: Path) -> None:
    text = GatewayMetrics(tmp_path).text().decode()
    disk = shutil.disk_usage(tmp_path)
    assert value(text, "parley_data_size_bytes") == disk.total
    assert 0 < value(text, "parley_data_free_bytes") < disk.total
    text = GatewayMetrics(tmp_path / "gone").text().decode()  # a disk that is not mounted hides no other figure
    assert "parley_calls_live 0.0" in text


async def test_metrics_may_ask_for_a_token(open_exchange: Open) -> None:
    where = await open_exchange(metrics_token="sesame")
    assert (await get(where, "/metrics")).status_code == 401
    assert (await get(where, "/metrics", authorization="Bearer sesam")).status_code == 401
    assert (await get(where, "/metrics", authorization="Bearer sesame")).status_code == 200
    assert is_allowed("", "")
    assert not is_allowed("sesame", "Bearer ünïcode")


async def test_a_late_loop_takes_no_calls_and_says_why(open_exchange: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    where = await open_exchange(max_loop_lag_ms=100)
    async with where.call() as stream:
        monkeypatch.setattr(LoopLag, "percentile_ms", lambda _lag: 250.0)
        monkeypatch.setattr(LoopLag, "is_settled", True)
        ready = await get(where, "/ready")
        assert ready.status_code == 503
        assert "PARLEY_MAX_LOOP_LAG_MS" in ready.json()["reason"]
        call_id = new_sid("CA")
        assert isinstance((await where.ring(call_id))[0], twiml.Say)
        row = await where.row(call_id)
        assert (row.outcome, row.status) == ("engine_full", "refused")
        await stream.frames(1)
        assert (await stream.heard()).size == 640  # who was there before is served
    monkeypatch.undo()
    await asyncio.sleep(0)
    assert (await get(where, "/ready")).status_code == 200
