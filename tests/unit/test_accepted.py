"""Which form of an answer is wanted (issuance/api/accepted.py)."""

import pytest
from fastapi import Request

from issuance.api.accepted import wants


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/*", True),
        ("text/csv, application/json", True),
        ("text/csv, */*", True),
        ("text/csv;q=0.5, */*;q=0.1", True),
        ("application/json;q=0.2 , text/csv; header=present; q=0.9", True),
        ("text/csv;q=0.5, application/json", False),
        ("text/csv;q=0.5, */*", False),
        ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.5", False),
        ("text/csv;q=0", False),
        ("text/csv;q=0, */*", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        (", ;q=1, text/csvx, q=1", False),
    ],
)
def test_what_is_wanted_most_is_given_and_by_the_most_exact_range(accept: str, csv: bool) -> None:
    """CSV where it is asked for and wanted no less than JSON, which is the answer else."""
    request = Request({"type": "http", "headers": [(b"accept", accept.encode())]})
    assert wants(request, "text/csv", over="application/json") is csv
