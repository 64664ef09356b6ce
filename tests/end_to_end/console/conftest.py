"""A brand, and browsers of people who have a role in it."""

from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.console.browsers import Browser
from tests.end_to_end.console.chromium import chromium
from tests.serving import NewBrand, Server

__all__ = ["admin", "brand", "chromium", "new_browser"]


@pytest.fixture
def brand(server: Server) -> NewBrand:
    """A new sandbox brand."""
    return server.new_brand("Europe/Lisbon")


@pytest.fixture
def new_browser(server: Server) -> Iterator[Callable[[], Browser]]:
    """Makes browsers, each without cookies."""
    made: list[Browser] = []

    def make() -> Browser:
        made.append(Browser(server))
        return made[-1]

    yield make
    for browser in made:
        browser.http.close()


@pytest.fixture
def admin(brand: NewBrand, new_browser: Callable[[], Browser]) -> Browser:
    """An admin of the brand, signed in."""
    return new_browser().let_in(brand.brand_id, "admin", "admin@example.com")
