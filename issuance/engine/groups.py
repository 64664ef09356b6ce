"""Memberships that are decided together: they have one fingerprint and the same news."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from issuance import limits
from issuance.engine.facts import load
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.membership import Membership
from issuance.engine.news import News, news_of
from issuance.engine.outcome import Outcome
from issuance.engine.schedules import Waiting
from issuance.engine.settled import EventKey, Settled
from issuance.engine.states import State


@dataclass(slots=True)
class Group:
    """Memberships in one state with the same news. `news` is by membership id; it is empty if there is none."""

    ids: list[str]
    state: State
    news: dict[str, News] = field(default_factory=dict)
    #: The schedule that they share; None: each has its own.
    shared_by: UUID | None = None

    def settled(self, membership: Membership, outcome: Outcome) -> Settled:
        """All memberships of the group, with the outcome of the one that was loaded."""
        if not self.news:
            return Settled(self.ids, outcome, membership, itself=False, shared_by=self.shared_by)
        its_charges = self.news[str(membership.membership_id)].charge_ids
        known = membership.charge_numbers
        numbers = [known[charge_id] for charge_id in its_charges]
        events, charges = {}, {}
        for one in self.ids:
            heard = self.news[one]
            events[one] = [EventKey(event.source, event.event_id) for event in heard.events]
            charges[one] = list(zip(heard.charge_ids, numbers, strict=True))
        return Settled(self.ids, outcome, membership, itself=False, events=events, charges=charges)


def grouped(
    connection: Connection, brand_id: UUID, locked: Sequence[Waiting], fingerprints: Fingerprints
) -> tuple[list[Group], list[str]]:
    """Divide memberships, whose schedules are locked, into groups. Returns the groups, and the memberships that must be
    loaded one by one, because they have no fingerprint or too few have the same."""
    quiet = [
        Group(waiting.ids, waiting.state, shared_by=waiting.shared_by) for waiting in locked if not waiting.has_news
    ]
    states = {one: waiting.state for waiting in locked if waiting.has_news for one in waiting.ids}
    fewest = limits.current.settling.fewest_alike
    groups: list[Group] = []
    alone: list[str] = []
    if len(states) < fewest:
        alone += states
        states = {}
    for group in [*quiet, *_that_heard_the_same(connection, brand_id, states, fingerprints)]:
        is_known = group.state.fingerprint is not None or (group.state.settled_at is None and bool(group.news))
        if is_known and (group.shared_by is not None or len(group.ids) >= fewest):
            groups.append(group)
        else:
            alone += group.ids
    return groups, alone


def _that_heard_the_same(
    connection: Connection, brand_id: UUID, states: dict[str, State], fingerprints: Fingerprints
) -> Iterator[Group]:
    if not states:
        return
    groups: dict[Hashable, Group] = {}
    news = news_of(connection, brand_id, states, fingerprints)
    for membership_id, state in states.items():
        heard = news[membership_id]
        # A membership whose news can't be compared without loading it is a group of one.
        key: Hashable = membership_id if heard.said is None else (state, heard.said)
        group = groups.setdefault(key, Group([], state))
        group.ids.append(membership_id)
        group.news[membership_id] = heard
    yield from groups.values()


def one_of_each(
    connection: Connection, brand_id: UUID, groups: Sequence[Group], fingerprints: Fingerprints, later: list[Group]
) -> Iterator[tuple[Group, Membership | None]]:
    """Each group with one of its memberships, loaded, that still has the group's fingerprint; None if none was found.
    Groups that do not fit into memory beside the others go to `later`."""
    start = 0
    for size in limits.current.settling.looked_at:
        if not groups:
            return
        looked_at = [one for group in groups for one in group.ids[start : start + size]]
        loaded = load(connection, brand_id, fingerprints.clock.zone, looked_at, as_fit=True)
        by_id = {str(membership.membership_id): membership for membership in loaded}
        others = []
        for group in groups:
            found = [by_id[one] for one in group.ids[start : start + size] if one in by_id]
            speaks = next((one for one in found if fingerprints.still_holds(one, group.state)), None)
            if speaks is not None:
                yield group, speaks
            elif start == 0 and not found:
                later.append(group)
            else:
                others.append(group)
        groups = others
        start += size
    yield from ((group, None) for group in groups)
