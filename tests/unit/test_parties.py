"""Who is on the order, and what an occurrence gives each of its guests (SEMANTICS 5)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.decisions import Decision, decide_all
from issuance.deciding.facts import Fact, Guest, GuestsChanged, MembershipFacts, Moment, SignedUp
from issuance.deciding.history import History
from issuance.deciding.parties import Parties
from tests.unit.club import ADA, BEN, EVE, Life, at
from tests.unit.lives import lives, nows

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])
data = st.data()
PLACES = [0, 1, 2]
parties = st.lists(st.lists(st.sampled_from(PLACES), unique=True).map(tuple), min_size=1, max_size=5)


def guests_of(places: Sequence[int]) -> tuple[Guest, ...]:
    return tuple(Guest(place, nth == 0) for nth, place in enumerate(places))


def noon(day: int) -> datetime:
    return at(f"2030-03-{day:02}T12:00:00")


@given(parties, st.integers(0, 5))
def test_who_stayed_was_there_all_the_time(known: list[tuple[int, ...]], since: int) -> None:
    """The guests at an instant are the last party's until then; those of them who are in every later one stayed."""
    first, *later = known
    changes = [GuestsChanged(Moment(noon(day), day), guests_of(places)) for day, places in enumerate(later, start=1)]
    found = Parties(SignedUp(Moment(at("2030-02-01"), 0), guests_of(first)), changes)
    last = min(since, len(later))
    instant = noon(since) if since else None
    assert found.at(instant) == guests_of(known[last])
    stayed = {place for place in PLACES if all(place in places for places in known[last:])}
    assert found.stayed_since(instant) == stayed


@laws
@given(lives(), data)
def test_each_guest_is_decided_as_if_alone_on_the_order(life: Life, data: st.DataObject) -> None:
    """Whoever else is on the order, comes, leaves or is archived: an occurrence gives a guest what they would get
    alone."""
    life.archived_guests = data.draw(st.dictionaries(st.sampled_from([ADA, BEN, EVE]), nows(life)))
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=3))):
        member, rules = life.membership, life.rules_at(now)
        together = decide_all(member.history(now), rules)
        for place in range(len(member.guest_ids)):
            alone = History(_alone(member.facts, place), member.credits, now)
            assert _of(place, together) == _of(place, decide_all(alone, rules))
        life.settle(now)  # the next look finds credits that are out


def _of(place: int, decisions: Sequence[Decision]) -> list[Decision]:
    return [decision for decision in decisions if decision.guest.place == place]


def _alone(facts: MembershipFacts, place: int) -> MembershipFacts:
    """The facts as if nobody but one guest had ever been on the order."""

    def only(fact: Fact) -> Fact:
        if isinstance(fact, SignedUp | GuestsChanged):
            return replace(fact, guests=tuple(guest for guest in fact.guests if guest.place == place))
        return fact

    return replace(facts, told=tuple(map(only, facts.told)))
