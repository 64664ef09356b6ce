"""Events in: the inbox (SEMANTICS 7-8, INTERFACE 6). Durable and unique before anybody is told that they are accepted.

An accepted event is a fact for ever. A sign-up also makes its membership, so that later events, lists
and the clock find it; all else that follows from events is worked out by settling.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection

from issuance.billing import cloud_events, forgotten, inbox, refused_texts, warnings
from issuance.billing.cloud_events import BillingEvent, Refused
from issuance.billing.inbox import Dates, EventKey, key_of
from issuance.engine.event_facts import SIGNED_UP
from issuance.members import members

#: How many events one batch may have.
MOST_EVENTS = 1000

_OF_TYPES = frozenset({SIGNED_UP, "membership.type_changed"})


@dataclass(frozen=True, slots=True)
class Remark:
    """About one event, by its place in the batch: why it was refused, or what to look at though it was accepted."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class Intake:
    """What became of a batch of events."""

    #: Those that are new.
    events: list[BillingEvent] = field(default_factory=list)
    duplicates: int = 0
    rejected: list[Remark] = field(default_factory=list)
    #: Of accepted events.
    warnings: list[Remark] = field(default_factory=list)
    #: The memberships to settle: those that are known. Facts about others wait for their sign-up.
    membership_ids: list[UUID] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """How many are new."""
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as they came, read: by its place, what each is or why it is refused."""

    bodies: Sequence[object]
    parsed: dict[int, BillingEvent] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)


def read(bodies: Sequence[object]) -> Batch:
    """Events read, each on its own: what can be said of them without the database."""
    batch = Batch(bodies)
    for index, body in enumerate(bodies):
        try:
            batch.parsed[index] = cloud_events.parse(body)
        except Refused as refusal:
            batch.refused[index] = refusal
    return batch


def accept(connection: Connection, brand_id: UUID, bodies: Sequence[object]) -> Intake:
    """`read` and `take` in one."""
    return take(connection, brand_id, read(bodies))


def take(connection: Connection, brand_id: UUID, batch: Batch, *, kept_as: bytes | None = None) -> Intake:
    """Take in events, each as if it came alone after those before it: stored, known already, or refused and kept for
    the operator; `kept_as`: as what a single one is kept already.

    Call `hints.settle` with the intake's `membership_ids` after the commit.
    """
    parsed, refused = batch.parsed, batch.refused
    unread = {index: batch.bodies[index] for index in refused}
    parsed |= forgotten.taken(connection, brand_id, parsed, unread)
    now = _check_types(connection, brand_id, parsed, refused)
    intake = Intake()
    accepted: dict[int, BillingEvent] = {}
    made: set[UUID] = set()
    waiting = {index: event for index, event in parsed.items() if index not in refused}
    while waiting:
        firsts = _firsts(connection, brand_id, waiting, refused)
        new = [waiting[index] for index in firsts.values()]
        known = _name_lone_leads(connection, brand_id, new)
        stored = inbox.store(connection, brand_id, new)
        made |= _sign_up(connection, brand_id, waiting, firsts, stored, refused, known)
        accepted |= {index: waiting[index] for key, index in firsts.items() if key in stored}
        again = {index: event for index, event in waiting.items() if index not in accepted and index not in refused}
        unsaid = [event for event in again.values() if key_of(event) not in stored]
        earlier = inbox.earlier(connection, brand_id, unsaid)
        waiting = {}
        for index, event in again.items():
            key = key_of(event)
            first = firsts[key]
            if first in refused:  # the membership was signed up by somebody else meanwhile; the id is free
                waiting[index] = event
            elif event.said == (accepted[first].said if first in accepted else earlier.get(key)):
                intake.duplicates += 1
            else:
                refused[index] = Refused(
                    "event_conflict", "an earlier event with this source and id says something else"
                )
    kept = [(json.dumps(batch.bodies[index]), why) for index, why in refused.items()]
    refused_texts.keep(connection, brand_id, kept, kept_as)
    accepted = dict(sorted(accepted.items()))
    intake.events = list(accepted.values())
    intake.rejected = [Remark(index, why.code, why.message) for index, why in sorted(refused.items())]
    dates = {event.membership_id: _dates(event) for event in accepted.values() if event.type == SIGNED_UP}
    if rest := {event.membership_id for event in accepted.values()} - made:
        now, found = inbox.known(connection, brand_id, rest)
        dates |= found
    intake.membership_ids = sorted(dates, key=attrgetter("int"))
    if now is not None:
        intake.warnings = [
            Remark(index, warning.code, warning.message)
            for index, warning in warnings.about(connection, brand_id, accepted, dates, now)
        ]
    return intake


def _firsts(
    connection: Connection, brand_id: UUID, waiting: Mapping[int, BillingEvent], refused: dict[int, Refused]
) -> dict[EventKey, int]:
    """The first event of each id: that which has it, if nothing that is kept has it. A sign-up that is refused leaves
    its id to the next, so where an id of a sign-up comes again, what is kept is looked at first."""
    firsts: dict[EventKey, int] = {}
    comes_again = False
    for index, event in waiting.items():
        first = firsts.setdefault(key_of(event), index)
        comes_again = comes_again or (first != index and waiting[first].type == SIGNED_UP)
    if not comes_again:
        return firsts
    told = [event.membership_id for event in waiting.values() if event.type == SIGNED_UP]
    taken: set[UUID] = set(inbox.known(connection, brand_id, told)[1])
    kept = inbox.earlier(connection, brand_id, list(waiting.values()))
    firsts = {}
    for index, event in waiting.items():
        key = key_of(event)
        if event.type == SIGNED_UP and key not in firsts and key not in kept:
            if event.membership_id in taken:
                refused[index] = _signed_up_already()
                continue
            taken.add(event.membership_id)
        firsts.setdefault(key, index)
    return firsts


def _signed_up_already() -> Refused:
    return Refused("already_signed_up", "this membership has signed up already")


def _check_types(
    connection: Connection, brand_id: UUID, parsed: Mapping[int, BillingEvent], refused: dict[int, Refused]
) -> datetime | None:
    """Refuse what names an unknown membership type. The brand's now if it had to look."""
    named = {index: event for index, event in parsed.items() if event.type in _OF_TYPES}
    if not named:
        return None
    type_ids = {event.data["membership_type_id"] for event in named.values()}
    now, known = inbox.known_types(connection, brand_id, [UUID(type_id) for type_id in type_ids])
    unknown = type_ids.difference(map(str, known))
    for index, event in named.items():
        if event.data["membership_type_id"] in unknown:
            refused[index] = Refused("unknown_membership_type", "there is no such membership type")
    return now


def _dates(sign_up: BillingEvent) -> Dates:
    starts_on, anchor = (date.fromisoformat(sign_up.data[name]) for name in ("starts_on", "billing_anchor"))
    return Dates(starts_on, anchor, sign_up.data["billing_frequency"])


def _name_lone_leads(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> dict[str, UUID]:
    """Name those who sign up without guests: each is alone on the order, as lead booker (SEMANTICS 5). Returns the
    members among them, by the brand's ids."""
    alone = [event for event in events if event.type == SIGNED_UP and not event.data["guests"]]
    known = members.known(connection, brand_id, [event.data["external_user_id"] for event in alone])
    for event in alone:
        member = event.data["external_user_id"]
        name = known[member].display_name if member in known else None
        event.data["guests"] = [cloud_events.lead_alone(event.membership_id, name or member, member)]
    return {name: member.member_id for name, member in known.items()}


def _others(events: Iterable[BillingEvent]) -> set[str]:
    """The people that events name as guests, but for those who sign up. If one is being archived, either
    the archiving finds these events or their settling finds the member archived."""
    return {
        guest["external_user_id"]
        for event in events
        for guest in event.data.get("guests") or ()
        if guest["external_user_id"] not in (None, event.data.get("external_user_id"))
    }


def _sign_up(
    connection: Connection,
    brand_id: UUID,
    parsed: Mapping[int, BillingEvent],
    firsts: Mapping[EventKey, int],
    stored: set[EventKey],
    refused: dict[int, Refused],
    known: Mapping[str, UUID],
) -> set[UUID]:
    """Make the memberships of stored sign-ups, whose ids it gives, and records of whoever stored events name.

    A second sign-up of a membership is taken out of the inbox again.
    """
    sign_ups: dict[UUID, int] = {}
    told = [index for index in sorted(firsts[key] for key in stored) if parsed[index].type == SIGNED_UP]
    seconds = [index for index in told if sign_ups.setdefault(parsed[index].membership_id, index) != index]
    others = _others([parsed[firsts[key]] for key in stored if firsts[key] not in seconds])
    joining = {parsed[index].data["external_user_id"] for index in sign_ups.values()}
    # Members who sign up are held by the foreign key of their memberships.
    held = members.ensure_held(connection, brand_id, joining - known.keys(), others)
    people = {**known, **held}
    made = inbox.make_memberships(connection, brand_id, [parsed[index] for index in sign_ups.values()], people)
    seconds += [index for membership_id, index in sign_ups.items() if membership_id not in made]
    for index in seconds:
        refused[index] = _signed_up_already()
        stored.discard(key_of(parsed[index]))
    inbox.unstore(connection, brand_id, [parsed[index] for index in seconds])
    return made
