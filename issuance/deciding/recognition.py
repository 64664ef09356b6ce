"""Who is who on the lists of an order, where later lists need not name guests by id (SEMANTICS 5)."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from uuid import UUID, uuid5


class Entry(NamedTuple):
    """A guest as one list names them."""

    guest_id: UUID | None
    external_user_id: str | None
    name: str
    email: str | None
    lead_booker: bool
    #: Who they were found to be, of a list that has lost names since (SEMANTICS 20). No biller told it.
    known_as: UUID | None = None


class Listing(NamedTuple):
    """One list of an order's guests, with the event that told it."""

    source: str
    event_id: str
    entries: Sequence[Entry]


class Recognised(NamedTuple):
    """Who an entry is: their id, and the member that they are by all lists so far."""

    guest_id: UUID
    external_user_id: str | None


@dataclass(slots=True)
class _Person:
    guest_id: UUID
    #: Ids that billers gave them.
    told_ids: set[UUID] = field(default_factory=set)
    external_user_id: str | None = None
    name: str = ""
    email: str | None = None

    def hear(self, entry: Entry) -> None:
        if entry.guest_id is not None:
            self.told_ids.add(entry.guest_id)
        # What a list leaves out stays known.
        self.external_user_id = entry.external_user_id or self.external_user_id
        self.email = entry.email or self.email
        self.name = entry.name


def recognised(membership_id: UUID, lists: Iterable[Listing]) -> list[list[Recognised]]:
    """Who the entries of each list are, in the order of the lists' facts; the first is the sign-up's.

    Each step of recognition goes over the whole list before the next, and nobody is recognised twice. A value that
    several entries have is compared last, and the first of them takes it. Earlier, the order of the list would decide.
    """
    people: list[_Person] = []
    party: list[_Person] = []
    lead: _Person | None = None
    known: list[list[Recognised]] = []
    for listing in lists:
        found = _Search(listing.entries)
        found.by(lambda entry: entry.known_as, people, lambda one: {one.guest_id})
        found.by(lambda entry: entry.guest_id, people, lambda one: {one.guest_id, *one.told_ids})
        found.by(lambda entry: entry.external_user_id, people, lambda one: {one.external_user_id})
        by_email = partial(found.by, _email, party, lambda one: {_email(one)}, _is_other)
        by_name = partial(found.by, _name, party, lambda one: {_name(one)}, _is_other)
        by_email(shared=False)
        by_name(shared=False)
        if lead is not None:
            found.by(lambda entry: entry.lead_booker or None, [lead], lambda _: {True}, _is_other_lead)
        by_email()
        by_name()
        for index, entry in enumerate(listing.entries):
            person = found.who.get(index)
            if person is None:
                minted = uuid5(membership_id, f"{listing.source} {listing.event_id} {index}")
                person = found.who[index] = _Person(entry.known_as or entry.guest_id or minted)
                people.append(person)
                if entry.guest_id in (minted, uuid5(membership_id, "lead")):
                    entry = entry._replace(guest_id=None)  # intake made it; no biller told it
            person.hear(entry)
        party = [found.who[index] for index in range(len(listing.entries))]
        lead = next((one for one, entry in zip(party, listing.entries, strict=True) if entry.lead_booker), None)
        known.append([Recognised(one.guest_id, one.external_user_id) for one in party])
    return known


class _Search:
    """Finds out who the entries of a list are, one step after the other."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self.who: dict[int, _Person] = {}

    def by(
        self,
        of_entry: Callable[[Entry], Hashable | None],
        among: Iterable[_Person],
        of_person: Callable[[_Person], Iterable[Hashable | None]],
        unless: Callable[[Entry, _Person], bool] = lambda _, __: False,
        *,
        shared: bool = True,
    ) -> None:
        """Recognise entries by what just one person has. `shared`: also where several entries of those that are left
        have it."""
        having: dict[Hashable, list[_Person]] = {}
        for person in among:
            for said in set(of_person(person)) - {None}:
                having.setdefault(said, []).append(person)
        taken = {id(person) for person in self.who.values()}
        said_by = enumerate(map(of_entry, self._entries))
        left = {index: said for index, said in said_by if index not in self.who and said is not None}
        entries_with = Counter(left.values())
        for index, said in left.items():
            found = having.get(said, [])
            if len(found) != 1 or not (shared or entries_with[said] == 1):
                continue
            if id(found[0]) not in taken and not unless(self._entries[index], found[0]):
                self.who[index] = found[0]
                taken.add(id(found[0]))


def _is_other(entry: Entry, person: _Person) -> bool:
    """Whether an id of the entry says that it is somebody else."""
    other_guest = entry.guest_id is not None and bool(person.told_ids)
    members = {entry.external_user_id, person.external_user_id} - {None}
    return other_guest or len(members) == 2


def _is_other_lead(entry: Entry, lead: _Person) -> bool:
    emails = {_folded(entry.email), _folded(lead.email)} - {None}
    return _is_other(entry, lead) or (_folded(entry.name) != _folded(lead.name) and len(emails) == 2)


def _email(one: Entry | _Person) -> str | None:
    return _folded(one.email)


def _name(one: Entry | _Person) -> str | None:
    return _folded(one.name)


def _folded(text: str | None) -> str | None:
    return None if text is None else text.strip().casefold()
