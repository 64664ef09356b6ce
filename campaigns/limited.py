"""Other limits meanwhile: small ones, so that a few are many, or long ones, so that nobody is hurried."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from issuance import limits


@contextmanager
def limited(room: str, **others: object) -> Iterator[None]:
    """Some of a room's limits are others: `limited("settling", batch=5)`. What else was changed stays so."""
    now = limits.current
    changed = getattr(now, room)._replace(**others)
    with mock.patch.object(limits, "current", now._replace(**{room: changed})):
        yield
