"""Who is who on later lists of an order's guests (SEMANTICS 5)."""

from uuid import UUID

import pytest

from issuance.deciding.recognition import Entry, Listing, recognised
from tests.unit.club import ADA, BEN, EVE

MEMBERSHIP = UUID(int=7)


def entry(name: str, guest_id: UUID | None = None, *, lead: bool = False, **known: str) -> Entry:
    return Entry(guest_id, known.get("member"), name, known.get("email"), lead)


SIGN_UP = [
    entry("Ada", ADA, lead=True, email="ada@x.org", member="ada"),
    entry("Ben", BEN, email="ben@x.org"),
]


def who(*lists: list[Entry]) -> list[UUID]:
    """Who the entries of the last list are, after the sign-up's."""
    listings = [Listing("biller", str(number), entries) for number, entries in enumerate([SIGN_UP, *lists])]
    return [one.guest_id for one in recognised(MEMBERSHIP, listings)[-1]]


@pytest.mark.parametrize(
    "ben",
    [
        entry("Benjamin", BEN),
        entry("Benjamin", email="BEN@x.org"),
        entry("ben"),
        entry("Ben", email="other@x.org"),
    ],
)
def test_a_guest_is_recognised_by_id_email_or_name(ben: Entry) -> None:
    """By whichever of them is known, the lead booker beside them."""
    assert who([ben, entry("Ada", lead=True)]) == [BEN, ADA]


def test_a_member_is_recognised_by_their_external_id_whatever_else_changed() -> None:
    assert who([entry("A. Lovelace", EVE, lead=True, member="ada", email="new@x.org")]) == [ADA]


def test_an_id_that_was_told_stays_with_the_guest() -> None:
    """The biller's own id, told with the member's, is known from then on."""
    assert who([entry("Ada", EVE, lead=True, member="ada")], [entry("Someone", EVE, lead=True)]) == [ADA]


def test_the_lead_booker_is_recognised_by_being_it() -> None:
    """Under another name, or with another e-mail; with both it is somebody new."""
    assert who([entry("Adelaide", lead=True)]) == [ADA]
    assert who([entry("Ada", lead=True, email="new@x.org")]) == [ADA]
    (new,) = who([entry("Cleo", lead=True, email="cleo@x.org")])
    assert new not in (ADA, BEN)


def test_an_id_that_says_otherwise_makes_a_namesake_somebody_else() -> None:
    """Neither an unknown id nor another member's is taken for the guest of that name."""
    assert who([entry("Ben", EVE), entry("Ada", ADA, lead=True)]) == [EVE, ADA]
    assert who([entry("Ada", member="other"), entry("Ada", ADA, lead=True)])[0] not in (ADA, BEN)


def test_of_two_who_share_a_name_nobody_is_recognised_by_it() -> None:
    first = [*SIGN_UP, entry("Ben", EVE)]
    assert who(first, [entry("Ben"), entry("Ada", ADA, lead=True)])[0] not in (ADA, BEN, EVE)


@pytest.mark.parametrize("turned", [False, True])
def test_a_familys_one_address_makes_nobody_another(turned: bool) -> None:
    """Whoever comes first on the list: the names tell them apart."""
    family = [entry("Ben", email="ada@x.org"), entry("Ada", lead=True, email="ada@x.org")]
    assert who(family[::-1] if turned else family) == ([ADA, BEN] if turned else [BEN, ADA])


@pytest.mark.parametrize("turned", [False, True])
def test_a_namesake_is_not_the_lead_booker(turned: bool) -> None:
    known = who(*[[entry("Ada"), entry("Ada", lead=True)][:: -1 if turned else 1]])
    assert known[0 if turned else 1] == ADA
    assert known[1 if turned else 0] not in (ADA, BEN)


def test_where_nothing_else_tells_them_apart_the_first_is_who_was_known() -> None:
    """So nobody is lost."""
    assert who([entry("Bob", email="ben@x.org"), entry("Benny", email="ben@x.org"), entry("Ada", ADA)])[0] == BEN
    assert who([entry("Ben"), entry("Ben"), entry("Ada", ADA, lead=True)])[0] == BEN


def test_nobody_is_recognised_twice() -> None:
    """Each step goes over the whole list before the next: the id goes before the name."""
    assert who([entry("Ben"), entry("Benjamin", BEN), entry("Ada", ADA, lead=True)])[1:] == [BEN, ADA]
    assert who([entry("Ben"), entry("Benjamin", BEN), entry("Ada", ADA, lead=True)])[0] not in (ADA, BEN)


def test_the_same_list_again_gives_the_same_guests() -> None:
    """Without any id, the new ones too."""
    again = [entry("Ada", lead=True), entry("Ben"), entry("Cleo")]
    assert who(again, again) == who(again)
