"""The engine's sizes, made small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from unittest import mock

from issuance import hints
from issuance.engine import alike, cohorts, due, walking, working
from worker import actors


@contextmanager
def small_sizes(seed: int) -> Iterator[None]:
    """The numbers above which the engine does things in parts, made so small that a few memberships are many."""
    random = Random(f"sizes {seed}")
    batch, part, instants, few, in_cohort = (
        random.choice(sizes) for sizes in ((2, 3, 5, 8, 1000), (1, 2, 50), (1, 2, 6), (2, 2, 3), (2, 2, 3, 20))
    )
    # A worker's time slice lasts for one batch of a run, for some, or for many; never for none.
    seconds = count(0.0, random.choice([0.3, 0.12, 0.02]))
    with (
        mock.patch.object(due, "BATCH_SIZE", batch),
        mock.patch.object(working, "BATCH_SIZE", batch),
        mock.patch.object(working, "_PART", part),
        mock.patch.object(walking, "MOST_INSTANTS", instants),
        mock.patch.object(alike, "_FEWEST", few),
        mock.patch.object(cohorts, "FEWEST", in_cohort),
        mock.patch.object(hints, "limits", hints.Limits(memberships_a_hint=random.choice([1, 2, 100]))),
        mock.patch.object(actors, "monotonic", seconds.__next__),
    ):
        yield
