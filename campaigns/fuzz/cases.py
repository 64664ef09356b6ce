"""One case of each kind. Each raises AssertionError if a promise is broken; the same chance makes the same case."""

import json
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID

import dramatiq

from campaigns.fuzz import values
from campaigns.fuzz.site import Site, good_events
from issuance import hints
from issuance.api.document import event_schema
from issuance.billing.cloud_events import Refused, parse, read_json
from issuance.billing.event_data import DATA_OF
from issuance.deciding.frequency import parse_validity
from worker.messages import ReadsAnything

#: Waits for workers where anything is due: asked as a brand apart, where nothing ever is.
_CLOCK = "/sandbox/clock"


def event(chance: Random, known: dict[str, list[str]], schemas: dict[str, Any]) -> Any:
    """An event that is well-formed, slightly wrong, or any JSON value."""
    if chance.random() < 0.05:
        return values.wild(chance)
    kind = chance.choice(sorted(DATA_OF))
    made = values.by_schema(chance, schemas[event_schema(kind)], schemas, known)
    made["data"] = values.by_schema(chance, schemas[DATA_OF[kind].__name__], schemas, known)
    made["id"] = values.uuid(chance) if chance.random() < 0.9 else "same"
    if kind == "membership.signed_up" and chance.random() < 0.7:
        made["data"]["membership_id"] = values.uuid(chance)
    for guest in made["data"].get("guests") or [] if isinstance(made["data"], dict) else []:
        guest["guest_id"] = values.uuid(chance)
    guests = made["data"].get("guests")
    if guests:
        for place, guest in enumerate(guests):
            guest["lead_booker"] = place == 0
    return values.spoilt(chance, made, chance.choice((0, 0, 1, 1, 2, 5)))


def events(chance: Random, site: Site, size: int) -> None:
    """Send a batch with two good events among bad ones. The good ones must be accepted and settled."""
    schemas = site.app.openapi()["components"]["schemas"]
    bodies = [body for body in (event(chance, site.known, schemas) for _ in range(size)) if _is_json(body)]
    good = good_events(site.type_id)
    places = sorted(chance.randrange(len(bodies) + 1) for _ in good)
    for place, one in zip(reversed(places), reversed(good), strict=True):
        bodies.insert(place, one)
    content = json.dumps(bodies).encode()
    answer = site.call("POST", "/billing-events", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, f"{answer.status_code}: {answer.text[:300]}"
    taken = answer.json()
    refused = {rejection["index"] for rejection in taken["rejected"]}
    assert taken["accepted"] + taken["duplicates"] + len(refused) == len(bodies), "each event is answered"
    stranded = [index for index, body in enumerate(bodies) if body in good and index in refused]
    assert not stranded, f"good events were refused: {taken['rejected']}"
    one = UUID(good[0]["data"]["membership_id"])
    touched = {UUID(text) for text in (_membership_of(body) for body in bodies) if text}
    site.settle(sorted(touched | {one}))
    count = "SELECT count(*) FROM credits WHERE membership_id = :one AND revoked_at IS NULL"
    assert site.scalar(count, one=one) == 1, "a good neighbour was left without its credit"
    failed = (
        "SELECT string_agg(last_error, '; ') FROM schedules WHERE schedule_id = ANY(:all) AND last_error IS NOT NULL"
    )
    error = site.scalar(failed, all=sorted(touched))
    assert error is None, f"settling failed: {error}"


def _is_json(body: Any) -> bool:
    """Whether a strict reader accepts its JSON text. Half a surrogate pair is not text, and a batch is one text."""
    try:
        read_json(json.dumps(body))
    except Refused:
        return False
    return True


def _membership_of(body: Any) -> str | None:
    data = body.get("data") if isinstance(body, dict) else None
    found = data.get("membership_id") if isinstance(data, dict) else None
    try:
        return str(UUID(found)) if isinstance(found, str) else None
    except ValueError:
        return None


def event_alone(chance: Random) -> None:
    """`parse` turns anything into an event or a refusal that says why."""
    kind = chance.choice(sorted(DATA_OF))
    data = {"membership_id": values.uuid(chance), "charge_id": "c", "period_start": "2031-01-01", "status": "paused"}
    made = {"specversion": "1.0", "id": "1", "source": "s", "type": kind, "time": "2031-01-01T00:00:00Z", "data": data}
    body = values.as_body(chance, values.spoilt(chance, made, chance.randrange(4)))
    try:
        parsed = parse(read_json(body))
    except Refused as refusal:
        assert_said(refusal)
        return
    assert parsed.type in DATA_OF


def assert_said(refusal: Refused) -> None:
    """A refusal says why, in one printable line."""
    assert refusal.code in ("malformed", "unknown_type", "lead_booker")
    assert refusal.message.isprintable(), refusal.message


def duration(chance: Random) -> None:
    """A validity is whole, positive and at most a century, or refused with ValueError."""
    said = chance.choice(values.DURATIONS)
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(said) + 1)
        said = (
            said[:place]
            + chance.choice(("P", "1", "0", "9", "Y", "M", "W", "D", "T", "-", ".", "９", "\n", ""))
            + said[place:]
        )
    duration_of(said)


def duration_of(said: str) -> None:
    """`parse_validity` accepts a text as a validity longer than nothing, or raises ValueError."""
    try:
        validity = parse_validity(said)
    except ValueError:
        return
    assert 0 <= validity.months <= 1200, said
    assert 0 <= validity.days <= 36525, said
    assert validity.months + validity.days > 0, said


def message(chance: Random) -> None:
    """Any bytes are read as a message for an actor that exists."""
    made: dict[str, Any] = {
        "queue_name": "events",
        "actor_name": chance.choice(sorted(hints.QUEUE_OF)),
        "args": [values.uuid(chance), [values.uuid(chance)]],
        "kwargs": {},
        "options": {"redis_message_id": "1"},
        "message_id": "1",
        "message_timestamp": 1,
    }
    body = values.as_body(chance, values.spoilt(chance, made, chance.randrange(4)))
    if chance.random() < 0.2:
        body = values.spoilt_bytes(chance, body)
    read: dramatiq.Message[None] = dramatiq.Message(**ReadsAnything().decode(body))
    assert read.actor_name in hints.QUEUE_OF
    assert isinstance(read.args, (list, tuple))
    assert "redis_message_id" in read.options


def request(chance: Random, site: Site) -> None:
    """A request with a body after the API document, spoilt or not, is never answered with 500 or above."""
    document = site.app.openapi()
    operations = [
        (path, method, operation)
        for path, of in sorted(document["paths"].items())
        for method, operation in sorted(of.items())
        if "requestBody" in operation or chance.random() < 0.3
    ]
    path, method, operation = chance.choice(operations)
    schemas = document["components"]["schemas"]
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    more: dict[str, Any] = {"headers": {}}
    if content:
        media_type = chance.choice(sorted(content))
        value = values.by_schema(chance, content[media_type]["schema"], schemas, site.known)
        value = values.spoilt(chance, value, chance.choice((0, 0, 1, 1, 2, 4)))
        more["content"] = values.as_body(chance, value)
        more["headers"]["Content-Type"] = (
            media_type if chance.random() < 0.97 else chance.choice(("text/plain", "a", ""))
        )
    if method == "post" and chance.random() < 0.2:
        more["headers"]["Idempotency-Key"] = chance.choice(("same", values.uuid(chance), "x" * 256, " "))
    url = path
    query = []
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        ids = site.known.get(name)
        value = (
            chance.choice(ids)
            if ids and chance.random() < 0.8
            else values.by_schema(chance, parameter["schema"], schemas, site.known)
        )
        if chance.random() < 0.15:
            value = values.wild(chance, 0)
        said = quote(_utf8(value) or "x", safe="")
        if parameter["in"] == "path":
            url = url.replace(f"{{{name}}}", said)
        elif parameter["in"] == "query" and chance.random() < 0.5:
            query.append(f"{quote(name)}={said}")
    if query:
        url += "?" + "&".join(query)
    answer = site.call(method.upper(), url, key=site.clock_key if path == _CLOCK else None, **more)
    assert answer.status_code < 500, f"{method.upper()} {url} {more}: {answer.status_code} {answer.text[:300]}"
    assert "x-request-id" in answer.headers
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["code"], error
        assert error["message"], error


def _utf8(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value)
    return said.encode("utf-8", "replace").decode()


#: What needs no site, by kind.
ALONE: dict[str, Callable[[Random], None]] = {"event": event_alone, "duration": duration, "message": message}
