"""Structured logs: one event a line, with the domain's ids. Codes, keys and other secrets are never bound."""

import logging
import os
import sys
from io import StringIO
from threading import Lock
from time import monotonic
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, WrappedLogger

from issuance.shown import shown

logger: FilteringBoundLogger = structlog.get_logger()

# Tracebacks without local variables: those hold codes, keys and whatever else nobody meant to log.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


#: Seconds after which an outage that lasts is told again.
TOLD_AGAIN = 60.0


class Outage:
    """Something that this process needs and that is away: told when that begins, once a minute while it lasts, and when
    it is over, however often it was asked for meanwhile. `what`: the broker, the database; `began` and `over`: what is
    said of it."""

    def __init__(self, what: str, began: str = "away", over: str = "back") -> None:
        self._began, self._over = f"{what}_{began}", f"{what}_{over}"
        self._since: float | None = None
        self._told = 0.0
        self._lock = Lock()

    def lasts(self, error: BaseException | str) -> None:
        """It did not answer. Of an error the first line is told, in which drivers name no password."""
        now = monotonic()
        with self._lock:
            if self._since is not None and now - self._told < TOLD_AGAIN:
                return
            self._since, self._told = self._since or now, now
        said = error if isinstance(error, str) else f"{type(error).__name__}: {error}".partition("\n")[0]
        logger.error(self._began, error=said)

    def is_over(self) -> None:
        """It answered."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            logger.warning(self._over, seconds=round(monotonic() - since, 1))


def set_up(log_format: str, log_level: str) -> None:
    """Send structlog, the standard library's loggers and warnings to stderr as `console` or `json` lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    last: list[structlog.typing.Processor] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_shown, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=_traceback)]
    )
    level = logging.getLevelNamesMapping()[log_level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # It would log the addresses of webhooks, which may hold secrets of their owners.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    root.setLevel(max(level, logging.INFO))
    logging.captureWarnings(True)


def _shown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What strangers wrote does not steer the terminal of whoever reads a log. Values that are no text are written as
    Python writes them."""
    return {name: shown(value) if isinstance(value, str) else value for name, value in event.items()}


def _traceback(stream: TextIO, error: ExcInfo) -> None:
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    stream.write(shown(written.getvalue(), keep="\n"))
