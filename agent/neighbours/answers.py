"""What a process answers about a call that it carries; nothing where it does not.

lines     {"ms": 1200}, then a line for each that is shown, {} where there is none for a while, {"over": true}
hang_up   {"done": true}
hand_off  {"done": true}, or false where there is nobody to give the call to
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from agent.live import CallControl, LiveCalls, line_of
from agent.neighbours.seals import Question

SIGN_OF_LIFE_S = 5.0
SILENCE_S = 3 * SIGN_OF_LIFE_S
"""After which who asked takes the other for gone."""


async def answers(live: LiveCalls, question: Question) -> AsyncGenerator[bytes, None]:
    """Yield the answer's lines, until the call is over."""
    control = live.control(question.call_id)
    if control is None:
        return
    if question.what != "lines":
        yield _line({"done": _do(control, question)})
        return
    yield _line({"ms": control.media_ms})
    async with aclosing(live.watch(question.call_id, SIGN_OF_LIFE_S)) as events:
        async for event in events:
            if event is None:
                yield _line({})
            elif line := line_of(event):
                yield _line(asdict(line))
    yield _line({"over": True})


def _do(control: CallControl, question: Question) -> bool:
    if question.handoff is not None:
        return control.hand_off(question.handoff, question.user)
    control.hang_up(question.user)
    return True


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
