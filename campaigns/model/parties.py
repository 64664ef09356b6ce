"""Who is on the order (SEMANTICS 5): lists of guests, and who of them is recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from campaigns.model.words import Fact, Guest


@dataclass(frozen=True)
class Person:
    """A guest as known so far; `label` is who it is, whatever else changes. `ids`: those that billers told."""

    label: str
    ids: frozenset[str]
    name: str
    email: str | None
    external_user_id: str | None
    lead_booker: bool


def first_party(sign_up: Fact) -> list[Person]:
    guests: list[Guest] = sign_up.data.get("guests") or []
    if not guests:
        name = f"{sign_up.membership} member"
        return [Person(name, frozenset(), sign_up.membership, None, sign_up.membership, True)]
    return [_new(guest, sign_up, number) for number, guest in enumerate(guests)]


def parties(sign_up: Fact, lists: list[Fact]) -> list[list[Person]]:
    """The sign-up's party, and that of each later list, in order."""
    known = first_party(sign_up)
    found = [known]
    everyone = {person.label: person for person in known}
    for fact in lists:
        party = _recognised(fact, found[-1], everyone)
        everyone |= {person.label: person for person in party}
        found.append(party)
    return found


def _new(guest: Guest, fact: Fact, number: int) -> Person:
    label = guest.label if guest.by_id else f"{fact.id} {number}"
    ids = frozenset([guest.label] if guest.by_id else [])
    return Person(label, ids, guest.name, guest.email, guest.external_user_id, guest.lead_booker)


def _recognised(fact: Fact, party: list[Person], everyone: dict[str, Person]) -> list[Person]:
    guests: list[Guest] = fact.data["guests"]
    found: dict[int, Person] = {}

    def by_name(guest: Guest) -> Iterator[Person]:
        same = [person for person in party if person.name == guest.name]
        if len(same) == 1:
            yield from (person for person in same if not _otherwise(guest, person))

    def by_lead(guest: Guest) -> Iterator[Person]:
        for person in party:
            named, reached = person.name != guest.name, None not in (guest.email, person.email)
            another = named and reached and person.email != guest.email
            if guest.lead_booker and person.lead_booker and not another and not _otherwise(guest, person):
                yield person

    def by_email(guest: Guest) -> Iterator[Person]:
        return (one for one in party if None is not guest.email == one.email and not _otherwise(guest, one))

    def apart(of: Callable[[Guest], str | None]) -> Callable[[int], bool]:
        """Whether what an entry has is no other's of those that nobody is known to be."""
        return lambda number: [of(guests[other]) for other in left].count(of(guests[number])) == 1

    def always(_: int) -> bool:
        return True

    steps: list[tuple[Callable[[Guest], Iterator[Person]], Callable[[int], bool]]] = [
        (lambda guest: (one for one in everyone.values() if guest.by_id and guest.label in one.ids), always),
        (
            lambda guest: (
                one for one in everyone.values() if None is not guest.external_user_id == one.external_user_id
            ),
            always,
        ),
        (by_email, apart(lambda guest: guest.email)),
        (by_name, apart(lambda guest: guest.name)),
        (by_lead, always),
        (by_email, always),
        (by_name, always),
    ]
    for step, is_asked in steps:
        left = [number for number in range(len(guests)) if number not in found]
        for number, guest in enumerate(guests):
            if number not in found and is_asked(number):
                taken = {person.label for person in found.values()}
                same = next((person for person in step(guest) if person.label not in taken), None)
                if same is not None:
                    found[number] = same
    return [
        _told_anew(found[number], guest) if number in found else _new(guest, fact, number)
        for number, guest in enumerate(guests)
    ]


def _otherwise(guest: Guest, person: Person) -> bool:
    """Whether an id of the entry says that it is somebody else; an id that we gave says nothing."""
    members = {guest.external_user_id, person.external_user_id} - {None}
    return (guest.by_id and bool(person.ids)) or len(members) == 2


def _told_anew(person: Person, guest: Guest) -> Person:
    """What is known of a guest, with what the list says now."""
    return replace(
        person,
        ids=person.ids | {guest.label} if guest.by_id else person.ids,
        name=guest.name,
        email=guest.email or person.email,
        external_user_id=guest.external_user_id or person.external_user_id,
        lead_booker=guest.lead_booker,
    )
