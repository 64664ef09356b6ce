"""Files of events, as billers and people write them."""

import gzip
import io
import json
from typing import Any

import pytest

from issuance.billing import event_files
from issuance.billing.event_files import Found, NotEvents
from tests.limits import Limit

EVENTS: list[dict[str, Any]] = [{"id": str(number), "text": "é" * number} for number in range(300)]
LINES = "\n".join(json.dumps(event, ensure_ascii=number % 2 == 0) for number, event in enumerate(EVENTS))


def read(content: str | bytes) -> list[Found]:
    return list(event_files.read(io.BytesIO(content.encode() if isinstance(content, str) else content)))


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES.replace("\n", "\r\n") + "\r\n\r\n",
        "\ufeff" + LINES,
        gzip.compress(LINES.encode()),
        gzip.compress(("\ufeff" + json.dumps(EVENTS)).encode()),
        gzip.compress(LINES.encode()[:100]) + gzip.compress(LINES.encode()[100:]),
        json.dumps(EVENTS),
        json.dumps(EVENTS, indent=2, ensure_ascii=False),
        "\n\n  " + json.dumps(EVENTS),
        "\n".join(json.dumps(EVENTS[start : start + 100]) for start in range(0, 300, 100)),
        LINES.splitlines()[0] + "\n" + json.dumps(EVENTS[1:]),
    ],
    ids=[
        "lines",
        "CRLF",
        "BOM",
        "gzip",
        "gzip of BOM",
        "gzip of parts",
        "array",
        "pretty",
        "blank",
        "batches",
        "mixed",
    ],
)
def test_every_form_has_the_same_events(content: str | bytes) -> None:
    assert [found.body for found in read(content)] == EVENTS


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_an_array_may_be_cut_anywhere(limit: Limit, chunk: int) -> None:
    """It is read in pieces: within a letter, a number, an element."""
    limit("intake", chunk=chunk)
    mixed = [*EVENTS[:9], 12345, "ü", [1, 2], None]
    assert [found.body for found in read(json.dumps(mixed, ensure_ascii=False))] == mixed


def test_a_bad_line_leaves_its_neighbours_alone() -> None:
    lines = read('{"id": 1}\n\nnot json\r\n{"id": NaN}\n\xff\n{"id": 2}\n')
    assert [(found.place, found.text) for found in lines if found.refused] == [
        (3, "not json"),
        (4, '{"id": NaN}'),
        (5, "ÿ"),
    ]
    assert [(found.place, found.body) for found in lines if not found.refused] == [(1, {"id": 1}), (6, {"id": 2})]
    first = next(found.refused for found in lines if found.refused)
    assert first.message == "this is not JSON: expected ident at column 2", "the line is that of the file"


@pytest.mark.parametrize("content", ['[{"id": 1}, {"id": 2', '[{"id": 1}, {"id": }, {"id": 3}]', '[{"id": 1} nonsense'])
def test_in_an_array_all_ends_where_it_can_not_be_read(content: str) -> None:
    """And what is left is told of once, with its text."""
    first, last = read(content)
    assert first.body == {"id": 1}
    assert last.refused is not None
    assert (last.place, last.refused.code, last.text) == (
        2,
        "malformed",
        content[content.index("}") + 1 :].lstrip(", "),
    )


def test_a_line_longer_than_any_event_is_passed_over(limit: Limit) -> None:
    limit("intake", longest_event=50)
    before, long, after = read('{"id": 1}\n' + "x" * 1000 + '\n{"id": 2}')
    assert (before.body, after.body, after.place) == ({"id": 1}, {"id": 2}, 3)
    assert long.refused is not None
    assert long.refused.code == "too_large"


@pytest.mark.parametrize(
    "content",
    [
        "id;name;start\n" * 20,
        LINES.encode("utf-16"),
        gzip.compress(LINES.encode())[:-20],
        bytes(range(256)) * 100,
    ],
    ids=["CSV", "UTF-16", "cut gzip", "binary"],
)
def test_what_is_no_file_of_events_is_said_once(content: str | bytes) -> None:
    with pytest.raises(NotEvents):
        read(content)


@pytest.mark.parametrize("content", ["", "\n\n", "[]", "\ufeff"])
def test_an_empty_file_has_none(content: str) -> None:
    assert read(content) == []
