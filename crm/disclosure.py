"""Everything that is kept of one caller as a ZIP archive, made while it is sent: a person's right to a copy.

calls, customer ─▶ JSON ─┐
recordings ──────────────┴▶ ZIP ─▶ blocks of bytes, some hundred KiB in memory however long the calls
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from crm.call import Call, CallFilter
from crm.customers import Customers
from crm.errors import RecordingUnavailable, UnknownCall
from crm.recordings import Recordings
from crm.store import CallStore
from personas.audit import Action, Actor, AuditLog, Subject

FORMAT = 1
_BLOCK_BYTES = 256 * 1024
_CALLS_AT_ONCE = 50
# What is ours, or another person's: the process, the agent's instructions to the line, colleagues' numbers.
_LEFT_OUT = ("account_id", "gateway", "asked", "handoff", "leg_id", "hold", "erasing", "erased", "erased_at")


class Disclosure:
    """What one database and its folder of recordings keep of callers; the audit log tells that it was handed out."""

    def __init__(self, store: CallStore, recordings: Recordings) -> None:
        self._store = store
        self._recordings = recordings

    async def of_caller(self, number: str, actor: Actor) -> AsyncIterator[bytes]:
        """Return the archive of a caller, by the number or address as the carrier writes it, block by block.

        Of a customer with several numbers it holds the calls from all of them.

        Raises:
            UnknownCall: nothing is kept of this caller; raised at once.
        """
        customer = await Customers(self._store.database).by_number(number) if number else None
        found = (await self._store.calls(limit=1, where=CallFilter(caller=number))).calls if number else ()
        if not found and not customer:
            raise UnknownCall("Nothing is kept of this caller.")
        subject = Subject("caller", "", f"customer-{customer.id}" if customer else "")
        await AuditLog(self._store.database).record(actor, Action.CALLER_HANDED_OUT, subject)
        about = {"format": FORMAT, "made_at": datetime.now(UTC).isoformat(timespec="seconds"), "number": number}
        about["customer"] = asdict(customer) if customer else None
        return self._archive(about, customer.numbers if customer else (number,))

    async def _archive(self, about: dict[str, Any], numbers: Sequence[str]) -> AsyncIterator[bytes]:
        blocks = _Blocks()
        with ZipFile(blocks, "w") as archive:
            await _write(archive, "caller.json", about)
            async for call in self._calls(numbers):
                folder = f"calls/{call.created_at:%Y%m%d-%H%M%S}-{call.id[:8]}"
                await _write(archive, f"{folder}/call.json", await self._told(call))
                yield blocks.taken()
                try:
                    path = await asyncio.to_thread(self._recordings.file, call.recording)
                    file = await asyncio.to_thread(path.open, "rb")
                except (RecordingUnavailable, OSError):
                    continue
                with file, archive.open(_named(f"{folder}/recording.wav", ZIP_STORED), "w", force_zip64=True) as member:
                    while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
                        member.write(block)
                        yield blocks.taken()
        yield blocks.taken()

    async def _calls(self, numbers: Sequence[str]) -> AsyncIterator[Call]:
        for number in numbers:
            cursor: str | None = ""
            while cursor is not None:
                page = await self._store.calls(limit=_CALLS_AT_ONCE, cursor=cursor, where=CallFilter(caller=number))
                for row in page.calls:
                    yield await self._store.call(row.call.id)
                cursor = page.next_cursor

    async def _told(self, call: Call) -> dict[str, Any]:
        told = {name: value for name, value in asdict(call).items() if name not in _LEFT_OUT}
        scores = [asdict(score) for score in await self._store.scores(call.id)]
        return told | {
            "turns": [asdict(turn) for turn in await self._store.turns(call.id)],
            "events": [asdict(event) for event in await self._store.events(call.id)],
            "scores": scores,
        }


class _Blocks:
    """A file for ``ZipFile`` to write to, whose content is taken away as it comes."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._written = b"".join(self._written), []
        return taken


def _named(name: str, compress_type: int = ZIP_DEFLATED) -> ZipInfo:
    info = ZipInfo(name, datetime.now(UTC).timetuple()[:6])
    info.compress_type = compress_type
    info.external_attr = 0o640 << 16
    return info


async def _write(archive: ZipFile, name: str, values: dict[str, Any]) -> None:
    text = json.dumps(values, ensure_ascii=False, indent=2, default=lambda moment: moment.isoformat())
    await asyncio.to_thread(archive.writestr, _named(name), text)
