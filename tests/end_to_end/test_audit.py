"""Who did it (SEMANTICS 16): every operation that changes something writes exactly one entry, and nothing else does.

`deeds` names them all: a new operation that is not in it fails here.
"""

from uuid import uuid4

import pytest
from sqlalchemy import text

from issuance.audit import ACTIONS
from issuance.database.connections import transaction
from issuance.tenancy import keys
from tests.end_to_end.deeds import AGAIN, DEEDS, METHODS, NAME, NONE, WITH_BODY, World, credit, made, points, world

__all__ = ["world"]


def test_every_operation_that_changes_something_is_here() -> None:
    """One that is new has to say what the audit calls it, or why it needs no entry."""
    assert set(METHODS) == set(DEEDS) | set(NONE)


@pytest.mark.parametrize("operation", DEEDS)
def test_a_change_has_exactly_one_entry(world: World, operation: str) -> None:
    """It says who, by the key's name, what, and in which request; again, only where it changes something again."""
    action, example = DEEDS[operation]
    call = example(world)
    before = world.total()
    answer = made(world, operation, call)
    assert answer.status_code < 300, answer.text
    assert world.total() == before + 1
    entry = world.entries()[0]
    assert entry["action"] == action
    assert entry["actor"] == {"kind": "key", "id": world.key_id, "name": NAME}
    assert entry["subject"]["kind"] == action.partition(".")[0]
    assert entry["request_id"] == answer.headers["X-Request-Id"]
    assert call.subject_id in (None, entry["subject"]["id"])
    assert entry["reason"] in (None, "a test", "brand")
    if operation not in AGAIN:
        made(world, operation, call)
        assert world.total() == before + 1


@pytest.mark.parametrize("operation", [one for one in DEEDS if METHODS[one] == "POST"])
def test_what_is_answered_again_has_no_second_entry(world: World, operation: str) -> None:
    """Under one Idempotency-Key."""
    call = DEEDS[operation][1](world)
    before = world.total()
    key = {"Idempotency-Key": str(uuid4())}
    answers = [made(world, operation, call, **key) for _ in range(2)]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert world.total() == before + 1


@pytest.mark.parametrize("operation", DEEDS)
def test_what_is_refused_has_no_entry(world: World, operation: str) -> None:
    """A parameter or a field that nobody knows."""
    call = DEEDS[operation][1](world)
    before = world.total()
    asked = [call._replace(path=f"{call.path}?nonsense=1")]
    if operation in WITH_BODY:
        asked.append(call._replace(body={"nonsense": True}))
    for one in asked:
        assert made(world, operation, one).status_code in (404, 422)
    assert world.total() == before


def test_facts_and_tokens_have_none(world: World) -> None:
    world.brand.until(world.brand.now)
    before = world.total()
    world.brand.send(world.brand.sign_up(external_user_id=str(uuid4())))
    world.brand.ok("POST", "/billing-events/batch", 202, [world.brand.sign_up(external_user_id=str(uuid4()))])
    world.brand.ok("POST", "/v1/auth/exchange", 200, {"externalUserID": str(uuid4())})
    assert world.total() == before


def test_members_act_under_an_id_of_issuances_own(world: World) -> None:
    """With neither their name nor the brand's id of them; a key's own actor is beside them."""
    call = points(world)
    who = call.body.pop("externalUserID")
    granted = world.brand.ok("POST", "/v1/auth/exchange", 200, {"externalUserID": who, "displayName": "Canary"})
    with world.server.client(granted["accessToken"]) as http:
        assert http.post("/v1/redemptions", json=call.body).status_code == 201
        assert http.get("/audit").status_code == 403
    actor = world.entries()[0]["actor"]
    assert (actor["kind"], actor["name"]) == ("member", None)
    assert actor["id"] not in (who, None)
    assert world.brand.ok("GET", "/audit", actor_id=actor["id"])["meta"]["total"] == 1


def test_no_code_secret_or_name_is_in_it(world: World) -> None:
    """Of a member only which fields changed; of a webhook only its host."""
    who = f"canary-{uuid4()}"
    said = {"displayName": "Canary Bird", "email": "canary@example.com", "attributes": {"song": "canary"}}
    world.brand.ok("PUT", f"/v1/members/{who}", 200, said)
    redeemed = credit(world, "redeem")
    made(world, "redeemCredit", redeemed)
    url = {"url": "https://canary.invalid/canary-path?canary", "events": ["credit.issued"]}
    world.brand.ok("POST", "/v1/webhooks", 201, url)
    with transaction(world.server.engine, world.brand_id) as connection:
        everything = str(connection.execute(text("SELECT * FROM audit_entries")).all())
    for secret in ("Canary Bird", "canary@", "song", who, redeemed.path.split("/")[3], "canary-path", "whsec_"):
        assert secret not in everything


def test_the_audit_is_read_by_filters(world: World) -> None:
    """By subject, actor, action, and the instants of its time, both inclusive."""
    call = credit(world, "revoke")
    made(world, "revokeCredit", call)
    entry = world.entries()[0]
    for query in (
        {"subject_id": call.subject_id, "action": "credit.revoked"},
        {"actor_id": world.key_id, "from": entry["at"], "to": entry["at"]},
    ):
        assert world.brand.data("/audit", **query) == [entry]
    assert world.brand.data("/audit", subject_id=str(call.subject_id).upper(), action="credit.revoked") == [entry]
    assert world.brand.data("/audit", subject_id=call.subject_id, action="credit.redeemed") == []
    assert entry["brand_time"] == world.brand.now
    for bad in ({"action": "credit.eaten"}, {"actor_id": "me"}, {"from": "yesterday"}, {"page": 0}, {"who": "me"}):
        world.brand.ok("GET", "/audit", 422, None, **bad)
    assert {one["action"] for one in world.entries()} <= set(ACTIONS)


def test_only_admin_reads_it(world: World) -> None:
    with transaction(world.server.engine, world.brand_id) as connection:
        _, key = keys.create(connection, world.brand_id, ["read", "write", "issue"])
    with world.server.client(key) as http:
        assert http.get("/audit").status_code == 403


def test_what_was_made_names_who_made_it(world: World) -> None:
    """Rules, runs, entries of the ledger, and credits that were revoked by hand."""
    actor = {"kind": "key", "id": world.key_id, "name": NAME}
    assert world.brand.rule()["updated_by"] == actor
    span = {"from": "2031-01-01", "to": "2031-01-31", "dry_run": True}
    assert world.brand.ok("POST", "/replays", 202, span)["started_by"] == actor
    points(world)
    call = credit(world, "revoke")
    assert made(world, "revokeCredit", call).json()["revoked_by"] == actor
    with transaction(world.server.engine, world.brand_id) as connection:
        assert connection.scalar(text("SELECT actor FROM ledger_entries ORDER BY created_at DESC LIMIT 1")) == actor
