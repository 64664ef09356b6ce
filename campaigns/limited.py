"""Other limits meanwhile: small ones, so that a few are many, or long ones, so that nobody is hurried."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from issuance import limits


@contextmanager
def limited(room: str, **others: object) -> Iterator[None]:
    """Some of a room's limits are others: `limited("settling", batch=5)`. What else was changed stays so."""
    now = limits.current
    changed = replace(getattr(now, room), **others)
    with mock.patch.object(limits, "current", replace(now, **{room: changed})):
        yield
