"""Chromium on the tests' server; where the machine has none, tests that need it are left out, and say so."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

from campaigns.console import chromium as program
from tests.waiting import PATIENCE_SECONDS

#: Set by `.ci/run`: then nothing may be left out.
NEEDED = "ISSUANCE_CHROMIUM_NEEDED"


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    """This machine's Chromium. It ends with these tests: while it runs, no test can run an event loop of its own."""
    if program.program() is None:
        told = "the machine has no Chromium: apt-get install chromium, then ./test tests/end_to_end/console"
        if os.environ.get(NEEDED):
            pytest.fail(told)
        pytest.skip(told)
    expect.set_options(timeout=1000 * PATIENCE_SECONDS)
    with program.chromium() as browser:
        yield browser
