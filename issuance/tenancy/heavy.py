"""Answers that take long to compute, such as forecasts: a few at once, so that others always have threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from issuance.errors import IssuanceError
from issuance.tenancy.shares import Shares

#: How many at once in a process, of one brand and of all, if it is the only web process (app.THREADS).
MOST_A_BRAND, MOST = 4, 8

_of_a_brand, _of_all = Shares(MOST_A_BRAND), Shares(MOST)


class HeavyLimit(IssuanceError):
    """Too many answers that take long are worked on at once, such as forecasts. Try again in a moment."""

    code = "too_many_at_once"
    status = 429


def make_room(threads: int) -> None:
    """Leave half of a process's threads to others, and give no brand more than half of the rest."""
    _of_a_brand.most, _of_all.most = max(1, threads // 4), max(1, threads // 2)


@contextmanager
def heavy(brand_id: UUID) -> Iterator[None]:
    """Hold a place for an answer that takes long. Raises HeavyLimit if there is none."""
    with _of_a_brand.of(brand_id) as ours, _of_all.of(None) as anyones:
        if not (ours and anyones):
            raise HeavyLimit
        yield
