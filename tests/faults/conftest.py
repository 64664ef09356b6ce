"""One site for all faults: it must live through each of them."""

from collections.abc import Iterator

import pytest

from tests.faults.club import Club, new_club
from tests.faults.fixture import site
from tests.faults.site import Site

__all__ = ["site"]


@pytest.fixture
def club(site: Site) -> Iterator[Club]:
    """A brand on the site with a monthly rule, its clock at noon on 31 January 2031."""
    with new_club(site) as club:
        yield club
