"""With ISSUANCE_URL set, the model's tests play against that server; otherwise against the one the tests start."""

import os

import pytest

from tests.model.brand import Server
from tests.model.server import server_of_environment

if "ISSUANCE_URL" in os.environ:

    @pytest.fixture(scope="session")
    def server() -> Server:
        return server_of_environment()
