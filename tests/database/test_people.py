"""What people do at random keeps its laws: a share of the campaign (`./run python -m campaigns.people`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from campaigns.people.__main__ import FOLDER
from campaigns.people.histories import history
from campaigns.people.play import failure
from campaigns.people.site import Site, site_on
from campaigns.simulation.keeping import kept

SEEDS = int(os.environ.get("ISSUANCE_PEOPLE_SEEDS", "3"))
START = int(os.environ.get("ISSUANCE_PEOPLE_START", "0"))


@pytest.fixture(scope="module")
def people(fresh_database: Callable[[], str]) -> Iterator[Site]:
    with site_on(fresh_database()) as site:
        yield site


@pytest.mark.parametrize("seed", range(START, START + SEEDS))
def test_a_random_history_of_people_keeps_its_laws(people: Site, seed: int) -> None:
    """SEMANTICS 9 to 17: what was said is done, what is taken back is gone, what is explained is so."""
    mismatch = failure(people, history(seed))
    assert mismatch is None, f"seed {seed}: {mismatch}"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.json")))
def test_a_history_that_failed_once_keeps_its_laws(people: Site, name: str) -> None:
    mismatch = failure(people, kept(FOLDER / name))
    assert mismatch is None, f"{name}: {mismatch}"
