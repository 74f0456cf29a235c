"""Log lines: static messages with fields, for people or machines; what libraries heard is left out."""

import logging
import sys
import traceback
from typing import Any, Literal

import structlog
from opentelemetry import trace

_QUIET = ("uvicorn.error", "uvicorn.asgi", "websockets", "sqlalchemy", "alembic", "twilio", "multipart")
_QUIET += ("httpx", "httpx2", "urllib3")


def configure_logging(level: str = "info", form: Literal["console", "json"] = "console") -> None:
    """Send every log line of this process to standard error; call once, before an app is created."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(sort_keys=True)
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    _tame_pipecat()


def log_failure(log: structlog.typing.FilteringBoundLogger, message: str, error: BaseException) -> None:
    """Log where something failed, but not what the error says: that may hold words or numbers of the caller."""
    where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    log.error(message, error=type(error).__name__, traceback=where)


def _with_trace(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Name the trace that a line belongs to, where traces are kept."""
    if (context := trace.get_current_span().get_span_context()).is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
    return event


def _tame_pipecat() -> None:
    """Pipecat logs through loguru, frames with their text included: keep where it warned, drop what it said."""
    try:
        from loguru import logger
    except ModuleNotFoundError:  # no pipecat, as on a machine that only runs `parley engine`
        return
    logger.remove()
    logger.add(_relay, level="WARNING", format="")


def _relay(message: Any) -> None:
    record = message.record
    logging.getLogger("pipecat").log(
        min(record["level"].no, logging.CRITICAL), "pipecat warning at %s:%d", record["name"], record["line"]
    )
