"""Names are taken out of texts and documents, and nothing else is (SEMANTICS 20)."""

import json

import pytest

from issuance.members.names import Names

PLACE = "5f0c2f5e-0000-4000-8000-000000000001"


def names_of(one: str, *, email: str | None = None, called: str | None = None) -> Names:
    """What somebody with an id is called by."""
    emails = {} if email is None else {email: PLACE}
    return Names(ids={one: PLACE}, emails=emails, called={} if called is None else {called: PLACE})


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ("2031", "2031-02-01"),
        ("2031", "2031-02-01T00:00:00Z"),
        ("2031", "02/2031"),
        ("2031", "the credits of 2031"),
        ("2031", "01a2010c-2031-77e6-97b5-a6064f002829"),
        ("ab12", "01a2010c-ab12-77e6-97b5-a6064f002829"),
        ("deadbeef", "deadbeef-ab12-77e6-97b5-a6064f002829"),
        ("2031-02", "2031-02-01"),
        ("anna", "anna-lena"),
        ("anna", "inv-anna-17"),
        ("anna", "anna.bell@example.org"),
        ("anna", "for joanna"),
        ("user_1", "pay-user_12-2031-02"),
    ],
)
def test_what_is_no_name_stays(one: str, said: str) -> None:
    """Dates, ids of other people and of things, numbers in a text: in texts and in documents, and texts in these."""
    names = names_of(one, email="a.b@example.org")
    assert names.text(said) == said
    document = {"at": said, "parts": [said], "told": json.dumps({"of": said})}
    assert names.document(document) == document
    body = json.dumps(document).encode()
    assert names.body(body) == body


@pytest.mark.parametrize("said", ["a.a.b@example.org", "a.b@example.org.uk", "x-a.b@example.org"])
def test_an_address_is_a_whole_one(said: str) -> None:
    names = names_of("ada", email="a.b@example.org")
    assert names.text(f"to {said}, twice") == f"to {said}, twice"
    assert names.text("to A.B@example.org.") == f"to {PLACE}."


@pytest.mark.parametrize(
    ("one", "said", "left"),
    [
        ("2031", "2031", PLACE),
        ("01a2010c-2031-77e6-97b5-a6064f002829", "for 01A2010C-2031-77e6-97b5-a6064f002829.", f"for {PLACE}."),
        ("anna", "Anna's, and /members/anna/credits?of=anna", f"{PLACE}'s, and /members/{PLACE}/credits?of={PLACE}"),
        ("2031-anna", "as 2031-anna said", f"as {PLACE} said"),
    ],
)
def test_a_name_goes_wherever_it_stands_by_itself(one: str, said: str, left: str) -> None:
    """An id of digits alone where it is all that is said."""
    names = names_of(one)
    assert names.text(said) == left
    assert names.document({"who": said, "told": json.dumps([said])}) == {"who": left, "told": json.dumps([left])}


def test_a_first_name_goes_only_beside_something_else_of_theirs() -> None:
    """A year in somebody else's document is nothing of theirs."""
    names = names_of("2031", called="Ann")
    others = {"period_start": "2031-02-01", "note": "Ann paid"}
    assert names.document(others) == others
    assert names.document({**others, "member": "2031"})["note"] == f"{PLACE} paid"


def test_ids_of_events_and_charges_stay() -> None:
    """Small numbers are ids of many things: a charge under another id would be another charge."""
    told = {"specversion": "1.0", "id": "2031", "data": {"charge_id": "2031", "name": "Bob", "who": {"id": "77"}}}
    assert names_of("2031").document(told) == told
    assert names_of("2031").document({"customer": {"id": "2031", "name": "Ada"}}) == {
        "customer": {"id": PLACE, "name": PLACE}
    }
