"""Processes of one machine show each other's live calls, and nothing to anybody else."""

import os
import stat
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from agent.live import CallOver, LiveCalls, Spoke
from agent.live_neighbours import LiveNeighbours
from crm.admin.live import LiveLine
from crm.call import Call

CARRYING, ASKING = f"host:{os.getpid()}", f"host:{os.getppid()}"


class Control:
    media_ms = 1_200


def call_of(gateway: str, call_id: str = "c1") -> Call:
    unknown = {field.name: None for field in fields(Call)}
    return Call(**unknown | {"id": call_id, "gateway": gateway, "status": "live"})


@asynccontextmanager
async def two(folder: Path):
    live = LiveCalls()
    live.carry("c1", Control())
    async with LiveNeighbours(live, folder, CARRYING), LiveNeighbours(LiveCalls(), folder, ASKING) as asking:
        yield live, asking


async def test_words_come_from_the_beginning_and_as_they_are_said(tmp_path: Path) -> None:
    async with two(tmp_path / "live") as (live, asking):
        live.publish("c1", Spoke("agent", 80, " Hello"))
        assert await asking.media_ms(call_of(CARRYING)) == 1_200
        lines = asking.lines(call_of(CARRYING))
        assert await anext(lines) == LiveLine("agent", 80, " Hello")
        live.publish("c1", Spoke("caller", 160, "grüezi\n"))
        assert await anext(lines) == LiveLine("caller", 160, "grüezi\n")
        live.publish("c1", CallOver("caller_hung_up", 240))
        assert [line async for line in lines] == []


async def test_only_the_owner_may_ask(tmp_path: Path) -> None:
    async with two(tmp_path / "live"):
        assert stat.S_IMODE((tmp_path / "live").stat().st_mode) == 0o700
    assert os.listdir(tmp_path / "live") == []


@pytest.mark.parametrize("gateway", ["elsewhere:1", "host:999999999", ASKING, ""])
async def test_a_process_that_cannot_be_asked_carries_nothing_that_is_shown(tmp_path: Path, gateway: str) -> None:
    async with two(tmp_path / "live") as (_, asking):
        assert await asking.media_ms(call_of(gateway)) is None
        assert [line async for line in asking.lines(call_of(gateway))] == []


async def test_a_call_that_is_over_is_not_shown(tmp_path: Path) -> None:
    async with two(tmp_path / "live") as (_, asking):
        assert await asking.media_ms(call_of(CARRYING, "c2")) is None


async def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "999999999").touch()
    async with LiveNeighbours(LiveCalls(), tmp_path, CARRYING):
        assert os.listdir(tmp_path) == [str(os.getpid())]


async def test_a_folder_too_deep_for_sockets_keeps_nobody_from_calling(tmp_path: Path) -> None:
    async with two(tmp_path / ("deep" * 40)) as (_, asking):
        assert await asking.media_ms(call_of(CARRYING)) is None
