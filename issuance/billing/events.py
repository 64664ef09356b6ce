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
    known = _name_lone_leads(connection, brand_id, [parsed[index] for index in firsts.values()])
    stored = inbox.store(connection, brand_id, [parsed[index] for index in firsts.values()])
    made = _sign_up(connection, brand_id, parsed, firsts, stored, refused, known)

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
    intake.membership_ids = sorted(made | inbox.known(connection, brand_id, touched - made), key=attrgetter("int"))
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
    payers = inbox.payers(connection, brand_id, {event.charge_id for event in parsed.values() if event.charge_id})
    for index, event in parsed.items():
        if event.type == _SIGN_UP and event.data["membership_type_id"] not in known_types:
            refused[index] = Refused("unknown_membership_type", "there is no such membership type")
        elif event.charge_id and payers.setdefault(event.charge_id, event.membership_id) != event.membership_id:
            refused[index] = Refused("charge_of_another_membership", "this charge_id belongs to another membership")


def _name_lone_leads(connection: Connection, brand_id: UUID, events: Sequence[BillingEvent]) -> dict[str, UUID]:
    """Who signs up without guests is alone on the order, as lead booker (SEMANTICS 5): the members among them."""
    alone = [event for event in events if event.type == _SIGN_UP and not event.data["guests"]]
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
    told = [index for index in sorted(firsts[key] for key in stored) if parsed[index].type == _SIGN_UP]
    seconds = [index for index in told if sign_ups.setdefault(parsed[index].membership_id, index) != index]
    others = _others([parsed[firsts[key]] for key in stored if firsts[key] not in seconds])
    joining = {parsed[index].data["external_user_id"] for index in sign_ups.values()}
    # Members who sign up are held by the foreign key of their memberships.
    held = members.ensure_held(connection, brand_id, joining - known.keys(), others)
    people = {**known, **held}
    made = inbox.make_memberships(connection, brand_id, [parsed[index] for index in sign_ups.values()], people)
    seconds += [index for membership_id, index in sign_ups.items() if membership_id not in made]
    for index in seconds:
        refused[index] = Refused("already_signed_up", "this membership has signed up already")
        stored.discard(key_of(parsed[index]))
    inbox.unstore(connection, brand_id, [parsed[index] for index in seconds])
    return made
