"""What a mapping costs to read is bounded, whatever its paths and the webhook are."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from issuance.billers.adapter import NotReadable
from issuance.billers.mapped.adapter import MOST_VALUES, Mapped
from issuance.billers.mapped.mapping import MOST_SEARCHES, BillerMapping

NAMES = "$.content.subscription.items[0]['a-b'][\"c d\"].id"


def mapping(**said: Any) -> BillerMapping:
    telling = {"when": {"$.kind": "x"}, "tell": "membership.status_changed", "data": {"status": "active"}}
    whole = {"source": "b", "signature": {"kind": "basic"}, "time": {"path": "$.at"}, "membership": ["$.m"]}
    return BillerMapping.model_validate({**whole, "events": [telling], **said})


@pytest.mark.parametrize(
    "path",
    [NAMES, "$..external_id", "$.*.id", "$.items[*].id", "$.items[?@.kind == 'plan' && @.n == 1].id", "$", "$.a[-1]"],
)
def test_a_path_may_name_and_search(path: str) -> None:
    assert mapping(membership=[path]).membership == [path]


@pytest.mark.parametrize(
    "path",
    [
        "$.a[?match(@.b, '(a+)+$')]",
        "$[?search(@, '(a|a)*b')]",
        "$..a..b",
        "$..*..*",
        "$[?@..a]",
        "$[?$.a == 1]",
        "$[?count(@.*) > 1]",
        "$.a | $.b",
        "$.a[?@.b =~ /(a+)+$/]",
        "$.a.~",
        "a.b",
        "$.a[",
        "",
    ],
)
def test_a_path_has_no_function_and_searches_all_but_once(path: str) -> None:
    """Or a pattern could keep a process busy for hours over one webhook. `when` has paths too."""
    with pytest.raises(ValidationError):
        mapping(membership=[path])
    with pytest.raises(ValidationError):
        mapping(events=[{"when": {path: "x"}, "tell": "membership.status_changed"}])


def test_few_paths_search() -> None:
    """Wherever they stand, each counts."""
    telling = {"tell": "membership.status_changed"}
    searching = [{"when": {f"$.*.k{n}": "x"}, "data": {"status": "$..s"}, **telling} for n in range(MOST_SEARCHES // 2)]
    assert len(mapping(events=searching).events) == MOST_SEARCHES // 2
    with pytest.raises(ValidationError, match="may search"):
        mapping(events=searching, price="$..p")


def webhook(**more: Any) -> bytes:
    return json.dumps({"id": "1", "at": "2031-01-01T00:00:00Z", **more}).encode()


def test_a_webhook_of_too_many_values_is_not_read() -> None:
    """However they are nested."""
    adapter = Mapped(mapping())
    assert adapter.parse(webhook(rows=[[1] * 100] * 90)).delivery_id == "1"
    for rows in ([1] * MOST_VALUES, [[1] * 100] * 100, {str(n): {"a": [n]} for n in range(MOST_VALUES // 3)}):
        with pytest.raises(NotReadable, match="more than"):
            adapter.parse(webhook(rows=rows))


def test_the_more_paths_search_the_less_a_webhook_may_say() -> None:
    """Each looks at all that it says: what one webhook costs is bounded, whatever the mapping."""
    telling = {"tell": "membership.status_changed", "data": {"status": "$..s"}}
    adapter = Mapped(mapping(events=[{"when": {f"$..k{n}": "x"}, **telling} for n in range(5)]))
    most = MOST_VALUES // 10
    assert adapter.parse(webhook(rows=[1] * (most - 5))).delivery_id == "1"
    with pytest.raises(NotReadable, match=f"more than {most} values"):
        adapter.parse(webhook(rows=[1] * most))
