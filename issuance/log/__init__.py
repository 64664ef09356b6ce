"""Structured logs: one event a line, with the domain's ids. Codes, keys and other secrets are never bound."""

import logging
import sys
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from issuance import limits

if TYPE_CHECKING:  # most commands log nothing
    from structlog.typing import FilteringBoundLogger


class _Logger:
    """structlog's logger, made when the first line is."""

    def __init__(self) -> None:
        self.set_level(logging.INFO)

    def set_level(self, level: int) -> None:
        """Only what is of `level` or above is logged from now on."""
        self._level = level
        self._below = {name.lower() for name, number in logging.getLevelNamesMapping().items() if number < level}
        self._made: FilteringBoundLogger | None = None

    def __getattr__(self, name: str) -> Any:
        if name in self._below:
            return _say_nothing
        if self._made is None:
            from issuance.log import lines

            self._made = lines.logger_for(self._level)
        return getattr(self._made, name)


def _say_nothing(*_: object, **__: object) -> None:
    pass


class _Formatter(logging.Formatter):
    """The formatter of lines, made when the first line is."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self._log_format = log_format

    @cached_property
    def _made(self) -> logging.Formatter:
        from issuance.log import lines

        return lines.formatter_for(self._log_format)

    def format(self, record: logging.LogRecord) -> str:
        return self._made.format(record)


_logger = _Logger()
logger = cast("FilteringBoundLogger", _logger)


#: Seconds after which an outage that lasts is told again.
TOLD_AGAIN = 60.0


class Outage:
    """Something that this process needs and that is away: told when that begins, once a minute while it lasts, and when
    it is over, however often it was asked for meanwhile. `what`: the broker, the database; `began` and `over`: what is
    said of it."""

    def __init__(self, what: str, began: str = "away", over: str = "back") -> None:
        self._began, self._over = f"{what}_{began}", f"{what}_{over}"
        self._since: float | None = None
        self._told = self._met = 0.0
        self._lock = Lock()

    def lasts(self, error: BaseException | str) -> None:
        """It did not answer. Of an error the first line is told, in which drivers name no password."""
        now = monotonic()
        with self._lock:
            self._met = now
            if self._since is not None and now - self._told < TOLD_AGAIN:
                return
            self._since, self._told = self._since or now, now
        said = error if isinstance(error, str) else f"{type(error).__name__}: {error}".partition("\n")[0]
        logger.error(self._began, error=said)

    def is_on(self) -> bool:
        """Whether it lasts, as far as is known."""
        return self._since is not None

    def was_met(self, within: float) -> bool:
        """Whether it lasts and was met within the last seconds: what is asked now need not wait for it again."""
        return self._since is not None and monotonic() - self._met < within

    def is_over(self) -> None:
        """It answered."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            logger.warning(self._over, seconds=round(monotonic() - since, 1))


class Few:
    """Of what strangers can cause without end, a few lines a second are written (`limits.Doors`)."""

    def __init__(self) -> None:
        self._second = self._told = self._untold = 0
        self._lock = Lock()

    def next(self) -> dict[str, int] | None:
        """What one more line says besides: how many were left out before it (`untold`). None: leave it out."""
        with self._lock:
            second = int(monotonic())
            if second != self._second:
                self._second, self._told = second, 0
            if self._told >= limits.current.doors.lines_a_second:
                self._untold += 1
                return None
            self._told += 1
            untold, self._untold = self._untold, 0
            return {"untold": untold} if untold else {}


def set_up(log_format: str, log_level: str) -> None:
    """Send structlog, the standard library's loggers and warnings to stderr as `console` or `json` lines."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    _logger.set_level(level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # It would log the addresses of webhooks, which may hold secrets of their owners.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Outages of the broker are told by `Outage`, once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    root.setLevel(max(level, logging.INFO))
    logging.captureWarnings(True)
