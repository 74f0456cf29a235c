"""Log lines are for people or machines, and never hold what was said."""

import json
import subprocess
import sys

SCRIPT = """
import logging, sys
from agent.logs import configure_logging
configure_logging("info", sys.argv[1])
import structlog, loguru
structlog.contextvars.bind_contextvars(call_id="c-1")
structlog.get_logger("agent.call").info("call over", outcome="caller_hung_up")
structlog.get_logger("agent.call").debug("not shown")
logging.getLogger("uvicorn.error").info("not shown either")
logging.getLogger("uvicorn.error").warning("shown")
loguru.logger.warning("Something went wrong: TextFrame(my card number is 4111)")
loguru.logger.info("my card number is 4111")
"""


def lines(form: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_lines_for_machines() -> None:
    over, shown, pipecat = [json.loads(line) for line in lines("json")]
    assert (over["event"], over["call_id"], over["outcome"], over["level"]) == (
        "call over",
        "c-1",
        "caller_hung_up",
        "info",
    )
    assert shown["event"] == "shown"
    assert pipecat["logger"] == "pipecat"
    assert pipecat["level"] == "warning"
    assert "4111" not in json.dumps(pipecat)


def test_lines_for_people() -> None:
    over, _, pipecat = lines("console")
    assert "call over" in over
    assert "call_id=c-1" in over
    assert "4111" not in pipecat
