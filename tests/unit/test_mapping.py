"""What a mapping costs to read is bounded, whatever its paths and the webhook are."""

import base64
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from issuance.billers.adapter import BadSignature, Known, NotReadable, Translation, weight_of
from issuance.billers.mapped.adapter import MOST_SAID, MOST_VALUES, Mapped
from issuance.billers.mapped.mapping import MOST_SEARCHES, BillerMapping
from issuance.billers.mapped.values import LONGEST_NAME, LONGEST_TEXT

NAMES = "$.content.subscription.items[0]['a-b'][\"c d\"].id"


NOW = datetime(2031, 1, 1, tzinfo=UTC)


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


NOTHING_KNOWN = cast("Known", SimpleNamespace(zone=ZoneInfo("UTC"), now=NOW, price=lambda *_: None))


def translated(said: dict[str, Any], **more: Any) -> Translation:
    """What becomes of a webhook whose sign-up says `said`."""
    telling = {"when": {"$.kind": "x"}, "tell": "membership.signed_up", "data": said}
    adapter = Mapped(mapping(events=[telling], price="$.price"))
    notice = adapter.parse(webhook(**{"kind": "x", "m": "m1", **more}))
    return adapter.translate(notice, NOTHING_KNOWN, patient=True)


@pytest.mark.parametrize("found", [["\U000e0001" * 400], {"a": 1}, "\U000e0001" * (LONGEST_TEXT + 1), 10**60, "a\0"])
@pytest.mark.parametrize("way", ["text", "map"])
def test_a_text_is_of_bounded_length_and_no_structure(found: Any, way: str) -> None:
    """Python writes some characters with ten: a megabyte in each of twenty fields took a worker 500 MB. It is refused
    before it is written, and said where."""
    value = {"path": "$.o", "as": "text"} if way == "text" else {"path": "$.o", "map": {"a": "b"}}
    why = translated({"membership_type_id": "t", "starts_on": value}, o=found).unmappable
    assert why is not None
    assert why.code == "malformed"
    assert ("starts_on" if way == "text" else "$.o") in why.message
    assert len(why.message) < 200


def test_a_text_left_as_it_is_has_the_same_bound() -> None:
    """It need not be asked for as a text; one of that length, and a number, are taken."""
    why = translated({"membership_type_id": "t", "note": "$.o"}, o="x" * (LONGEST_TEXT + 1)).unmappable
    assert why is not None
    assert "note has more than" in why.message
    said = {"membership_type_id": "t", "note": "$.o", "n": {"path": "$.n", "as": "text"}}
    (event,) = translated(said, o="x" * LONGEST_TEXT, n=12).events
    assert (len(event["data"]["note"]), event["data"]["n"]) == (LONGEST_TEXT, "12")


def test_a_fact_says_so_much_and_no_more() -> None:
    """However often its fields name the same list of guests."""
    rows = [{"name": "one of the guests"}] * 400
    said = {"membership_type_id": "t", **{f"x{n}": "$.rows" for n in range(19)}}
    why = translated(said, rows=rows).unmappable
    assert why is not None
    assert f"more than {MOST_SAID}" in why.message
    assert len(translated({"membership_type_id": "t", "guests": "$.rows"}, rows=rows).events) == 1


@pytest.mark.parametrize("place", ["m", "price"])
def test_what_a_biller_names_has_a_length(place: str) -> None:
    """Names of memberships and prices are shown in lists, and prices in messages."""
    at_most = translated({}, **{place: "x" * LONGEST_NAME} if place == "price" else {})
    assert at_most.unmappable is not None
    assert at_most.unmappable.code == "unmapped_price"
    why = translated({}, **{place: "x" * (LONGEST_NAME + 1)}).unmappable
    assert why is not None
    assert (why.code, why.key) == ("malformed", None)
    assert len(why.message) < 200
    assert translated({}, price={"x": 1}).unmappable is not None


def test_a_facts_id_is_never_cut() -> None:
    """Or two facts about a membership with a long name would be one, and the second lost."""
    why = translated({"membership_type_id": "t"}, m="m" * 250).unmappable
    assert why is not None
    assert why.code == "malformed"


def test_weighing_stops_where_it_is_enough() -> None:
    """Values, and characters of texts and names."""
    assert weight_of({"abc": ["de", 1, None]}, 100) == 1 + 3 + 1 + 3 + 1 + 1
    assert 10 < weight_of(["x"] * 1000, 10) < 20


@pytest.mark.parametrize(
    ("count", "unit", "frequency"),
    [(3, "month", "P3M"), ("1", "Year", "P1Y"), (2, "weeks", "P2W"), (None, "month", None)],
)
def test_how_often_is_billed_is_a_number_and_a_unit(count: Any, unit: str, frequency: str | None) -> None:
    """A quarter that is read as a month gives three credits for one payment."""
    assert _billed(count, unit).events[0]["data"].get("billing_frequency") == frequency


@pytest.mark.parametrize(("count", "unit"), [(1, "day"), (0, "month"), (37, "month"), ("P", "month"), (1.5, "month")])
def test_what_no_membership_is_billed_by_is_malformed(count: Any, unit: str) -> None:
    """It is shown, and not taken as every month."""
    found = _billed(count, unit)
    assert (found.events, found.unmappable and found.unmappable.code) == ([], "malformed")


def _billed(count: Any, unit: str) -> Translation:
    every = {"path": ["$.count", "$.unit"], "as": "frequency"}
    telling = {"when": {"$.kind": "x"}, "tell": "membership.billing_date_moved"}
    adapter = Mapped(
        mapping(events=[{**telling, "data": {"billing_anchor": "2031-01-15", "billing_frequency": every}}])
    )
    body = webhook(m="m", kind="x", unit=unit, **({} if count is None else {"count": count}))
    known = cast(Known, SimpleNamespace(zone=ZoneInfo("UTC"), now=NOW))
    return adapter.translate(adapter.parse(body), known, patient=True)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
def test_the_scheme_of_basic_auth_may_be_written_in_any_case(scheme: str) -> None:
    """As RFC 7617 has it."""
    secret = b"user:pass word"
    sent = {"authorization": f"{scheme} {base64.b64encode(secret).decode()}"}
    Mapped(mapping()).verify(b"", sent, [secret], NOW)
    for wrong in ("", scheme, f"{scheme} {base64.b64encode(b'user:other').decode()}", sent["authorization"].lower()):
        with pytest.raises(BadSignature):
            Mapped(mapping()).verify(b"", {"authorization": wrong}, [secret], NOW)
