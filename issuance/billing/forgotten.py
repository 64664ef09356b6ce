"""Forgotten: facts that name an erased person are taken with the random id, and without their names
(SEMANTICS 20). Others' entries stay as they are."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from issuance.billing.cloud_events import BillingEvent
from issuance.engine.event_facts import GUESTS_CHANGED, SIGNED_UP
from issuance.members import erased
from issuance.members.names import Names

#: The facts that name people.
NAMING = (SIGNED_UP, GUESTS_CHANGED)


def taken(
    connection: Connection, brand_id: UUID, parsed: Mapping[int, BillingEvent], unread: Mapping[int, object]
) -> dict[int, BillingEvent]:
    """Those of a batch's events that name somebody who was erased, as they are to be taken.

    `unread`: the bodies that could not be read: they may name anybody. Call it before anything is locked.
    """
    saying = {index: event for index, event in parsed.items() if event.type in NAMING or event.unknown_fields}
    known = erased.of(connection, brand_id) if saying or unread else None
    if known is None:
        return {}
    names = known.among(part for event in saying.values() for part in (event.data, event.unknown_fields))
    if not names:
        return {}
    changed = {}
    for index, event in saying.items():
        without = _without(event, names)
        if without is not event:
            changed[index] = without
    return changed


def without_names(guest: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The entry of a guest who was erased. `place`: the random id."""
    return {**guest, "name": place, "email": None}


def unknown_without(
    unknown: Mapping[str, Any], names: Names, theirs: Mapping[int, str], *, is_own: bool
) -> dict[str, Any]:
    """What a fact says beside what is understood: nothing of erased people. `theirs`: the places of their entries;
    `is_own`: it is a fact of their own membership."""
    if is_own:
        return {}
    prefixes = tuple(f"guests.{place}." for place in theirs)
    kept = {name: value for name, value in unknown.items() if not name.startswith(prefixes)}
    found: dict[str, Any] = names.document(kept)
    return found


def _without(event: BillingEvent, names: Names) -> BillingEvent:
    data, theirs = dict(event.data), dict[int, str]()
    member = names.ids.get(data.get("external_user_id", ""))
    if member is not None:
        data["external_user_id"] = member
    if "guests" in data:
        theirs = dict(_erased_of(data["guests"], names))
        there: set[str] = set()
        guests = []
        # By their ids first: of several who share an address, it is the one with the id.
        by_id = {
            names.ids[guest["external_user_id"]] for guest in data["guests"] if guest["external_user_id"] in names.ids
        }
        for place, guest in enumerate(data["guests"]):
            random_id = theirs.get(place)
            if random_id is None:
                guests.append(guest)
                continue
            first = guest["external_user_id"] is not None or random_id not in by_id | there
            there.add(random_id)
            guests.append({**without_names(guest, random_id), "external_user_id": random_id if first else None})
        data["guests"] = guests
    unknown = unknown_without(event.unknown_fields, names, theirs, is_own=member is not None)
    if data == event.data and unknown == event.unknown_fields:
        return event
    return replace(event, data=data, unknown_fields=unknown, as_told=event.said)


def _erased_of(guests: list[dict[str, Any]], names: Names) -> Iterator[tuple[int, str]]:
    for place, guest in enumerate(guests):
        found = names.of(guest["external_user_id"], guest["email"])
        if found is not None:
            yield place, found
