"""One call's figures at its end, by names that end in their unit, and which of them are cause for alarm."""

import math
from collections.abc import Mapping

from agent.duplex import FRAME_MS
from agent.pipeline.attendant import Loudness
from agent.pipeline.playout import Playout
from telephony.audio.framing import LineCounters

LOSSY_SHARE = 0.02
LATE_MS = 400
FAINT_DBFS = -45
CHOPPY_MS = 500


def measured(line: LineCounters, playout: Playout, agent: Loudness) -> dict[str, float]:
    """Return the figures that are not 0; ``agent_level_dbfs`` where the agent was heard, 0 dB being a full square."""
    figures: dict[str, float] = {
        "line_gaps": line.gaps,
        "line_filled_ms": line.filled_ms,
        "silence_shed_ms": playout.shed_frames * FRAME_MS,
        "underruns": playout.underruns,
        "underrun_ms": playout.underrun_ms,
        "playout_backlog_p95_ms": playout.backlog_p95_ms(),
    }
    if agent.rms:
        figures["agent_level_dbfs"] = 20 * math.log10(agent.rms / 32_768)
    return {name: value for name, value in figures.items() if value}


def alarms(figures: Mapping[str, float], media_ms: int) -> list[tuple[str, str]]:
    """Return (kind, sentence) for what an operator should look at."""
    found = []
    filled_ms = figures.get("line_filled_ms", 0)
    if filled_ms > LOSSY_SHARE * media_ms:
        found.append(("line_lossy", f"{filled_ms:.0f} ms of the caller's audio never came."))
    if figures.get("underrun_ms", 0) > CHOPPY_MS:
        found.append(("agent_choppy", f"The agent's speech had {figures['underruns']:.0f} holes."))
    if figures.get("playout_backlog_p95_ms", 0) > LATE_MS:
        found.append(("playout_late", f"Up to {figures['playout_backlog_p95_ms']:.0f} ms waited to be played."))
    if figures.get("agent_level_dbfs", 0) < FAINT_DBFS:
        found.append(("agent_faint", f"The agent spoke at {figures['agent_level_dbfs']:.0f} dBFS only."))
    return found
