"""Logs hold what happened and no secrets."""

import subprocess
import sys

import pytest

_PROGRAM = """
from issuance import log
log.set_up({log_format!r}, "info")
def fail():
    code = "SECRET"[:3] + "RET"
    raise ValueError("what went wrong")
try:
    fail()
except ValueError:
    log.logger.exception("failed")
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variables(log_format: str) -> None:
    """They hold codes and keys."""
    program = [sys.executable, "-c", _PROGRAM.format(log_format=log_format)]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stderr
    assert "what went wrong" in printed
    assert "SECRET" not in printed
