"""Which memberships an outcome is for, as it is written for all of them at once."""

from collections.abc import Container, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from issuance.engine.event_facts import DATES_MOVED
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome


class EventKey(NamedTuple):
    """What identifies an event of a brand."""

    source: str
    event_id: str


class Settled(NamedTuple):
    """Memberships, by their ids, with what settling came to for each of them.

    `membership` is one of them: the only one where `itself` is set, otherwise the one of their group that was loaded.
    By the id of a membership: `events` are settled with it, and `charges` are those that have news, with their
    numbers. `shared_by`: the schedule that they share; None: each has its own.
    """

    ids: Sequence[str]
    outcome: Outcome
    membership: Membership
    itself: bool
    events: Mapping[str, Sequence[EventKey]] = {}
    charges: Mapping[str, Sequence[tuple[str, int]]] = {}
    shared_by: UUID | None = None


def one_by_one(settled: Iterable[Settled]) -> list[Settled]:
    """Each membership by itself, in the order of their ids."""
    return sorted((some._replace(ids=(one,)) for some in settled for one in some.ids), key=attrgetter("ids"))


def without(settled: Iterable[Settled], ids: Container[str]) -> list[Settled]:
    """Without some memberships."""
    left = (some._replace(ids=[one for one in some.ids if one not in ids]) for some in settled)
    return [some for some in left if some.ids]


def by_outcome(settled: Iterable[Settled]) -> list[tuple[Outcome, list[Settled]]]:
    """Memberships by the outcome that they share, in their order: what is the same for thousands is asked once."""
    found: dict[int, tuple[Outcome, list[Settled]]] = {}
    for some in settled:
        found.setdefault(id(some.outcome), (some.outcome, []))[1].append(some)
    return list(found.values())


def part_from_schedules(settled: Iterable[Settled]) -> list[Settled]:
    """The memberships, in their order. Of those that share a schedule, which says one state, only those stay with it
    that come to the same outcome as the first."""
    first: dict[UUID, Outcome] = {}
    parted: list[Settled] = []
    for one in settled:
        by, outcome = one.shared_by, one.outcome
        is_alike = by is None or (outcome.fingerprint is not None and first.setdefault(by, outcome) is outcome)
        parted.append(one if is_alike else one._replace(shared_by=None))
    return parted


def settled_itself(membership: Membership, outcome: Outcome) -> Settled:
    """A membership that was loaded, with the outcome of its own facts."""
    since = membership.state.settled_at
    numbers = membership.charge_numbers
    new_events = [
        event for event in membership.events if event.is_news or since is None or since < event.time <= outcome.now
    ]
    if any(event.type in DATES_MOVED for event in new_events):
        new = numbers
    else:
        new = {event.charge_id: numbers[event.charge_id] for event in new_events if event.charge_id is not None}
    events = [EventKey(event.source, event.event_id) for event in membership.news]
    one = str(membership.membership_id)
    return Settled((one,), outcome, membership, True, {one: events}, {one: tuple(new.items())})
