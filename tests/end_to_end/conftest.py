"""Tests from the outside: HTTP, against the running processes (see tests/serving.py)."""

import os
from collections.abc import Callable, Iterator

import httpx
import pytest

from campaigns.model.brand import Server as ModelServer
from campaigns.model.server import server_of_environment
from tests.end_to_end.homes import home, no_servers_given, program
from tests.end_to_end.members import brand, other
from tests.end_to_end.simulated import (
    campaign,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_sessionfinish,
)
from tests.end_to_end.sites import site
from tests.hooks import receiver
from tests.serving import NewBrand, Server

__all__ = [
    "brand",
    "campaign",
    "home",
    "no_servers_given",
    "other",
    "program",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_sessionfinish",
    "receiver",
    "site",
]


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


@pytest.fixture(scope="session")
def model_server(request: pytest.FixtureRequest) -> ModelServer:
    """The server that ISSUANCE_URL names, for the model to play against; otherwise the one that the tests start."""
    if "ISSUANCE_URL" in os.environ:
        return server_of_environment()
    server: Server = request.getfixturevalue("server")
    return ModelServer(server.url, server.create_brand)
