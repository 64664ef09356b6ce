"""Addresses of our own processes, as this machine asks for them."""

import pytest

from issuance.addresses import here


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("fd00::7", "http://[fd00::7]:8080"),
        ("credits.internal", "http://credits.internal:8080"),
    ],
)
def test_a_process_is_asked_where_it_listens(host: str, address: str) -> None:
    """In links for people too. Who listens on every address is asked at this machine's own; IPv6 stands in brackets."""
    assert here(host, 8080) == address
