"""Events in: the inbox (SEMANTICS 7-8, INTERFACE 6). Durable and unique before anybody is told that they are accepted.

An accepted event is a fact for ever. A sign-up also makes its membership, so that later events, lists
and the clock find it; all else that follows from events is worked out by settling.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection

from issuance.billing import cloud_events, inbox
from issuance.billing.cloud_events import BillingEvent, Refused
from issuance.billing.inbox import EventKey, key_of
from issuance.catalog import membership_types
from issuance.members import members

#: How many events one batch may have.
MOST_EVENTS = 1000

_SIGN_UP = "membership.signed_up"
_MOVE = "membership.billing_date_moved"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one event was refused: its place in the batch, a code and a message."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class Intake:
    """What became of a batch of events."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    #: The memberships to settle: those that are known. Facts about others wait for their sign-up.
    membership_ids: list[UUID] = field(default_factory=list)


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


def take(connection: Connection, brand_id: UUID, batch: Batch) -> Intake:
    """Take in events, each on its own: stored, known already, or refused and kept for the operator.

    Call `hints.settle` with the intake's `membership_ids` after the commit.
    """
    parsed, refused = batch.parsed, batch.refused
    _check(connection, brand_id, parsed, refused)
    firsts = _firsts(parsed, refused)
    _name_lone_leads(connection, brand_id, [parsed[index] for index in firsts.values()])
    stored = inbox.store(connection, brand_id, [parsed[index] for index in firsts.values()])
    made = _sign_up(connection, brand_id, parsed, firsts, stored, refused)
    members.hold_some(connection, brand_id, _others([parsed[firsts[key]] for key in stored]))

    intake = Intake()
    earlier = inbox.hashes(connection, brand_id, [event for event in parsed.values() if key_of(event) not in stored])
    for index, event in parsed.items():
        if index in refused:
            continue
        first = firsts[key_of(event)]
        known_hash = parsed[first].body_hash if key_of(event) in stored else earlier.get(key_of(event))
        if first in refused:
            refused[index] = refused[first]
        elif index == first and key_of(event) in stored:
            intake.accepted += 1
        elif known_hash == event.body_hash:
            intake.duplicates += 1
        else:
            refused[index] = Refused("event_conflict", "an earlier event with this source and id has another body")
    inbox.keep_refused(connection, brand_id, batch.bodies, refused)
    intake.rejected = [Rejection(index, why.code, why.message) for index, why in sorted(refused.items())]
    touched = {parsed[firsts[key]].membership_id for key in stored}
    intake.membership_ids = sorted(
        made | inbox.starts(connection, brand_id, touched - made).keys(), key=attrgetter("int")
    )
    return intake


def _firsts(parsed: Mapping[int, BillingEvent], refused: Mapping[int, Refused]) -> dict[EventKey, int]:
    firsts: dict[EventKey, int] = {}
    for index, event in parsed.items():
        if index not in refused:
            firsts.setdefault(key_of(event), index)
    return firsts


def _check(
    connection: Connection, brand_id: UUID, parsed: Mapping[int, BillingEvent], refused: dict[int, Refused]
) -> None:
    """Refuse what does not fit what is known already."""
    sign_ups = [event for event in parsed.values() if event.type == _SIGN_UP]
    type_ids = [UUID(type_id) for type_id in {event.data["membership_type_id"] for event in sign_ups}]
    known_types = set(map(str, membership_types.known(connection, brand_id, type_ids))) if sign_ups else set()
    moves = {event.membership_id for event in parsed.values() if event.type == _MOVE}
    starts = {event.membership_id: event.data["starts_on"] for event in reversed(sign_ups)}
    starts |= {
        membership_id: day.isoformat() for membership_id, day in inbox.starts(connection, brand_id, moves).items()
    }
    payers = inbox.payers(connection, brand_id, {event.charge_id for event in parsed.values() if event.charge_id})
    for index, event in parsed.items():
        anchor = event.data.get("billing_anchor", "")
        if event.type == _SIGN_UP and event.data["membership_type_id"] not in known_types:
            refused[index] = Refused("unknown_membership_type", "there is no such membership type")
        elif event.type == _MOVE and anchor < starts.get(event.membership_id, anchor):
            refused[index] = Refused("anchor_before_start", "billing_anchor must not be before the membership starts")
        elif event.charge_id and payers.setdefault(event.charge_id, event.membership_id) != event.membership_id:
            refused[index] = Refused("charge_of_another_membership", "this charge_id belongs to another membership")


def _name_lone_leads(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> None:
    """Who signs up without guests is alone on the order, as lead booker (SEMANTICS 5)."""
    alone = [event for event in events if event.type == _SIGN_UP and not event.data["guests"]]
    names = members.display_names(connection, brand_id, [event.data["external_user_id"] for event in alone])
    for event in alone:
        member = event.data["external_user_id"]
        event.data["guests"] = [cloud_events.lead_alone(event.membership_id, names.get(member) or member, member)]


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
) -> set[UUID]:
    """Make the memberships of stored sign-ups, whose ids it gives, and records of whoever stored events name.

    A second sign-up of a membership is taken out of the inbox again.
    """
    sign_ups: dict[UUID, int] = {}
    told = [index for index in sorted(firsts[key] for key in stored) if parsed[index].type == _SIGN_UP]
    seconds = [index for index in told if sign_ups.setdefault(parsed[index].membership_id, index) != index]
    first_told = [parsed[firsts[key]] for key in stored if firsts[key] not in seconds]
    joining = [parsed[index].data["external_user_id"] for index in sign_ups.values()]
    members.ensure(connection, brand_id, joining, named=_others(first_told))
    made = inbox.make_memberships(connection, brand_id, [parsed[index] for index in sign_ups.values()])
    seconds += [index for membership_id, index in sign_ups.items() if membership_id not in made]
    for index in seconds:
        refused[index] = Refused("already_signed_up", "this membership has signed up already")
        stored.discard(key_of(parsed[index]))
    inbox.unstore(connection, brand_id, [parsed[index] for index in seconds])
    return made
