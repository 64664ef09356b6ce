"""The engine's sizes, made small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from unittest import mock

from campaigns.limited import limited
from worker import actors


@contextmanager
def small_sizes(seed: int) -> Iterator[None]:
    """The numbers above which the engine does things in parts, made so small that a few memberships are many."""
    random = Random(f"sizes {seed}")
    batch, part, instants, alike, sharing = (
        random.choice(sizes) for sizes in ((2, 3, 5, 8, 1000), (1, 2, 50), (1, 2, 6), (2, 2, 3), (2, 2, 3, 20))
    )
    # A worker's time slice lasts for one batch of a run, for some, or for many; never for none.
    seconds = count(0.0, random.choice([0.3, 0.12, 0.02]))
    in_a_hint = random.choice([1, 2, 100])
    small = limited(
        "settling",
        batch=batch,
        part=part,
        instants=instants,
        fewest_alike=alike,
        fewest_sharing=sharing,
        loaded=random.choice([1, 2, 1000]),
        looked_at=random.choice([(1,), (1, 1), (1, 4, 16)]),
        short=random.choice([0, 0, 0, 2, 200]),
    )
    with (
        small,
        limited("hints", memberships=in_a_hint),
        mock.patch.object(actors, "monotonic", seconds.__next__),
    ):
        yield
