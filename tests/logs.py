"""What a module logs, whoever set up logs before in this process; and what other processes log to a file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import EventDict

from issuance.log import lines as log_lines


def lines(log: Path) -> list[str]:
    """The whole lines of a file: the last one may be half written."""
    return log.read_text(errors="replace").rpartition("\n")[0].splitlines()


def complaints(log: Path) -> list[str]:
    """The errors that processes tell of in a file. That the broker was away for a moment is none: a busy machine's
    answers late."""
    errors = [line for line in lines(log) if '"error"' in line or '"critical"' in line]
    return [line for line in errors if not any(f'"{event}"' in line for event in _BROKER_AWAY)]


#: What that is told as: by who sends messages, and by web, which counts requests there.
_BROKER_AWAY = ("broker_away", "rates_not_counted")


@contextmanager
def captured(module: ModuleType) -> Iterator[list[EventDict]]:
    """Its entries meanwhile, with what they are due to. structlog's own `capture_logs` sees none of a logger that was
    used before."""
    capture = LogCapture()
    kind = structlog.make_filtering_bound_logger(logging.INFO)
    own = structlog.wrap_logger(None, [log_lines._due_to, capture], wrapper_class=kind, cache_logger_on_first_use=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "logger", own)
        yield capture.entries
