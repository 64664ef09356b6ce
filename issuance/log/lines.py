"""How a line of the log is made. Imported when the first one is written: structlog takes long, and rich with it."""

import logging
import os
import sys
from io import StringIO
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

from issuance import origins
from issuance.shown import shown

# Tracebacks without local variables: those hold codes, keys and whatever else nobody meant to log.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _due_to(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Every line names the request and the trace that it is due to, dramatiq's and uvicorn's own among them."""
    for name, value in origins.here().told().items():
        event.setdefault(name, value)
    return event


_SHARED: list[Processor] = [
    _due_to,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def logger_for(level: int) -> FilteringBoundLogger:
    """structlog's logger, which hands on to the standard library's what is of `level` or above."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def formatter_for(log_format: str) -> logging.Formatter:
    """What writes an entry, structlog's or any other, as a `console` or `json` line."""
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    last: list[Processor] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_shown, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=_traceback)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _shown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What strangers wrote does not steer the terminal of whoever reads a log. Values that are no text are written as
    Python writes them."""
    return {name: shown(value) if isinstance(value, str) else value for name, value in event.items()}


def _traceback(stream: TextIO, error: ExcInfo) -> None:
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    stream.write(shown(written.getvalue(), keep="\n"))
