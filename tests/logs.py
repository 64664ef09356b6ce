"""What a module logs, whoever set up logs before in this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import EventDict

from issuance.log import lines


@contextmanager
def captured(module: ModuleType) -> Iterator[list[EventDict]]:
    """Its entries meanwhile, with what they are due to. structlog's own `capture_logs` sees none of a logger that was
    used before."""
    capture = LogCapture()
    kind = structlog.make_filtering_bound_logger(logging.INFO)
    own = structlog.wrap_logger(None, [lines._due_to, capture], wrapper_class=kind, cache_logger_on_first_use=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "logger", own)
        yield capture.entries
