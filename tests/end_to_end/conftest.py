"""Tests from the outside: HTTP, against the running processes (see tests/serving.py)."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.serving import NewBrand, Server


@pytest.fixture(scope="session")
def base_url(server: Server) -> str:
    return server.url


@pytest.fixture(scope="session")
def new_brand(server: Server) -> Callable[..., NewBrand]:
    """Makes brands: `new_brand(timezone, sandbox=True)` is (brand_id, key)."""
    return server.new_brand


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A client with the key of a new sandbox brand in UTC."""
    with server.client(server.new_brand().key) as client:
        yield client
