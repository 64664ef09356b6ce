"""Who is on the order, and what a party's turn gives each of its guests (SEMANTICS 5)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.decisions import Decision, decide
from issuance.deciding.facts import Guest, MembershipFacts, Party
from issuance.deciding.parties import Parties
from tests.unit.club import ADA, BEN, EVE, Life, at
from tests.unit.lives import lives, nows

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])
data = st.data()
PEOPLE = [ADA, BEN, EVE]
parties = st.lists(st.lists(st.sampled_from(PEOPLE), unique=True).map(tuple), min_size=1, max_size=5)


def guests_of(ids: Sequence[UUID]) -> tuple[Guest, ...]:
    return tuple(Guest(guest_id, place == 0) for place, guest_id in enumerate(ids))


def noon(day: int) -> datetime:
    return at(f"2030-03-{day:02}T12:00:00")


@given(parties, st.integers(0, 5))
def test_who_stayed_was_there_all_the_time(known: list[tuple[UUID, ...]], since: int) -> None:
    """The guests at an instant are the last party's until then; those of them who are in every later one stayed."""
    first, *later = known
    facts = replace(
        Life().facts_at(at("2030-02-01")),
        signup_party=guests_of(first),
        parties=tuple(Party(noon(day), guests_of(ids)) for day, ids in enumerate(later, start=1)),
    )
    last = min(since, len(later))
    instant = noon(since) if since else None
    assert Parties(facts).at(instant) == guests_of(known[last])
    assert Parties(facts).stayed_since(instant) == {one for one in PEOPLE if all(one in ids for ids in known[last:])}


@laws
@given(lives(), data)
def test_each_guest_is_decided_as_if_alone_on_the_order(life: Life, data: st.DataObject) -> None:
    """Whoever else is on the order, comes, leaves or is archived: a turn gives a guest what they would get alone."""
    life.archived_guests = data.draw(st.dictionaries(st.sampled_from(PEOPLE), nows(life)))
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=3))):
        facts, rules = life.facts_at(now), life.rules_at(now)
        together = decide(facts, rules, now)
        for guest_id in PEOPLE:
            assert _of(guest_id, together) == _of(guest_id, decide(_alone(facts, guest_id), rules, now))
        life.settle(now)  # the next look finds credits out


def _of(guest_id: UUID, decisions: Sequence[Decision]) -> list[Decision]:
    return [decision for decision in decisions if decision.guest.guest_id == guest_id]


def _alone(facts: MembershipFacts, guest_id: UUID) -> MembershipFacts:
    """The facts as if nobody but one guest had ever been on the order."""

    def only(guests: Sequence[Guest]) -> tuple[Guest, ...]:
        return tuple(guest for guest in guests if guest.guest_id == guest_id)

    changed = tuple(Party(party.since, only(party.guests)) for party in facts.parties)
    return replace(facts, signup_party=only(facts.signup_party), parties=changed)
