"""Who did it (SEMANTICS 16): every operation that changes something writes exactly one entry, and nothing else does.

The table below names them all: a new operation that is not in it fails here.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from issuance.audit import ACTIONS
from issuance.database.connections import transaction
from issuance.tenancy import keys
from tests.end_to_end.client import RULES, Client
from tests.end_to_end.test_every_route import PATHS, first_attempt
from tests.serving import Server
from tests.states import hold_rule, leave_untranslated, set_apart

NAME = "the desk's key"


class World(NamedTuple):
    """A brand whose key has a name, and its key's id."""

    server: Server
    brand: Client
    brand_id: Any
    key_id: str

    def entries(self) -> list[dict[str, Any]]:
        """The whole audit, the latest first."""
        found: list[dict[str, Any]] = self.brand.ok("GET", "/audit", per_page=100)["data"]
        return found

    def total(self) -> int:
        total: int = self.brand.ok("GET", "/audit", per_page=1)["meta"]["total"]
        return total


class Call(NamedTuple):
    """A request that is to be made, and the id of what it changes, where that is known before."""

    path: str
    body: Any = None
    subject_id: str | None = None


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    brand_id = server.new_brand().brand_id
    with transaction(server.engine, brand_id) as connection:
        key_id, key = keys.create(connection, brand_id, ["admin"], NAME)
    with server.client(key) as http:
        brand = Client(http)
        brand.rule(issue_on_signup=True, multi_use=True, roll_over=True)
        yield World(server, brand, brand_id, str(key_id))


def rule(world: World, verb: str = "") -> Call:
    made = world.brand.rule()["id"]
    return Call(f"{RULES}/{made}{verb}", {} if verb == "/issue" else {"roll_over": True}, None if verb else made)


def credit(world: World, verb: str, **more: str) -> Call:
    world.brand.member(external_user_id=str(uuid4()))
    found = world.brand.data("/customers/credits")[0]
    return Call(f"/customers/credits/{found['code']}/{verb}", {"reason": "a test", **more}, found["id"])


def revoked(world: World) -> Call:
    call = credit(world, "revoke")
    world.brand.ok("POST", call.path, 200, call.body)
    return call._replace(path=call.path.replace("/revoke", "/reinstate"))


def receiver(world: World) -> str:
    """A member who may be given something."""
    return member(world).path.rpartition("/")[2]


def rejected(world: World, verb: str = "") -> Call:
    """A refused event, whose cause is mended."""
    unknown = str(uuid4())
    event = world.brand.sign_up(membership_type_id=unknown)
    world.brand.send(event)
    with transaction(world.server.engine, world.brand_id) as connection:
        mended = text("UPDATE rejected_events SET body = replace(body, :unknown, :type_id)")
        connection.execute(mended, {"unknown": unknown, "type_id": world.brand.type_id})
    found = world.brand.data("/rejected-events")[0]["id"]
    return Call(f"/rejected-events/{found}{verb}", None, found)


def run(world: World, verb: str, state: str) -> Call:
    """A run at `state`, which nobody works on."""
    span = {"from": "2031-01-01", "to": "2031-01-31", "dry_run": True}
    made = world.brand.ok("POST", "/replays", 202, span)["id"]
    world.brand.until(world.brand.now)
    with transaction(world.server.engine, world.brand_id) as connection:
        held = text("UPDATE runs SET state = :state, finished_at = NULL WHERE run_id = :run_id")
        connection.execute(held, {"state": state, "run_id": made})
    return Call(f"/runs/{made}/{verb}", None, made)


def over(world: World, verb: str, *, dry_run: bool) -> Call:
    """A run that is over: a plan, or one that issued."""
    span = {"from": "2031-01-01", "to": "2031-01-31", "dry_run": dry_run}
    made = world.brand.ok("POST", "/replays", 202, span)["id"]
    world.brand.until(world.brand.now)
    return Call(f"/runs/{made}/{verb}", {"reason": "a test"})


LIMITS = count(1_000_000)


def held(world: World, verb: str) -> Call:
    """A rule that is held."""
    made = world.brand.rule()["id"]
    hold_rule(world.server.engine, world.brand_id, made)
    return Call(f"/held-rules/{made}/{verb}", {"reason": "a test"}, made)


def member(world: World) -> Call:
    name = str(uuid4())
    world.brand.ok("PUT", f"/v1/members/{name}", 200, {"displayName": "Ada"})
    return Call(f"/v1/members/{name}", {"displayName": "Bea"})


def archived(world: World) -> Call:
    path = member(world).path
    world.brand.ok("DELETE", path, 200)
    return Call(f"{path}/erase")


def points(world: World) -> Call:
    name = str(uuid4())
    world.brand.ok("PUT", f"/v1/members/{name}", 200, {})
    world.brand.ok("POST", "/v1/wallet/credit", 200, {"externalUserID": name, "amount": 5})
    return Call("/v1/redemptions", {"points": 2, "externalUserID": name})


def redemption(world: World) -> Call:
    made = world.brand.ok("POST", "/v1/redemptions", 201, points(world).body)["id"]
    return Call(f"/v1/redemptions/{made}", {"status": "CANCELED"}, made)


def webhook(world: World, verb: str = "") -> Call:
    body = {"url": "https://nowhere.invalid/", "events": ["wallet.credited"]}
    for one in world.brand.data("/v1/webhooks"):
        world.brand.ok("DELETE", f"/v1/webhooks/{one['id']}", 200)
    made = world.brand.ok("POST", "/v1/webhooks", 201, body)["id"]
    if verb == "/enable":
        world.brand.ok("POST", f"/v1/webhooks/{made}/disable", 200)
    return Call(f"/v1/webhooks/{made}{verb}", None, made)


def offer(world: World) -> Call:
    name = str(uuid4())
    world.brand.ok("PUT", f"/v1/offers/{name}", 200, {"name": "Tea"})
    return Call(f"/v1/offers/{name}", {"name": "Tea", "pointsPrice": 5}, name)


def delivery(world: World) -> Call:
    hook = webhook(world).subject_id
    assert hook is not None, "it is made"
    points(world)
    told = first_attempt(world.brand, hook)["id"]
    return Call(f"/v1/webhooks/{hook}/deliveries/{told}/replay", None, told)


def quarantined(world: World) -> Call:
    found = world.brand.member(external_user_id=str(uuid4()))
    set_apart(world.server.engine, world.brand_id, found)
    return Call(f"/quarantine/{found}/retry", None, found)


def clock(world: World) -> Call:
    world.brand.now = world.brand.now.replace("T00:", "T01:") if "T00:" in world.brand.now else "2031-01-02T00:00:00Z"
    return Call("/sandbox/clock", {"now": world.brand.now}, str(world.brand_id))


def biller(world: World, **more: str) -> str:
    body = {"kind": "stripe", "secret": f"whsec_{uuid4().hex}", **more}
    return str(world.brand.ok("POST", "/billers", 201, body)["id"])


def price(world: World, *, mapped: bool = False) -> Call:
    made = biller(world)
    call = Call(f"/billers/{made}/prices/{uuid4()}", {"membership_type_id": world.brand.type_id}, made)
    if mapped:
        world.brand.ok("PUT", call.path, 200, call.body)
    return call


def untranslated(world: World) -> Call:
    """A delivery that could not be translated."""
    made = biller(world)
    leave_untranslated(world.server.engine, world.brand_id, made)
    return Call(f"/billers/{made}/translate", None, made)


COUPON = {"name": "Tea", "discount": {"type": "percent", "value": 5}}
#: Every operation that changes something: what it is called in the audit, and an example of it.
DEEDS: dict[str, tuple[str, Callable[[World], Call]]] = {
    "createMembershipCreditRule": ("credit_rule.created", lambda world: Call(RULES, {
        "membership_type_id": world.brand.type_id, "coupon_id": "spa", "coupon_name": "Spa"})),
    "updateMembershipCreditRule": ("credit_rule.updated", rule),
    "deleteMembershipCreditRule": ("credit_rule.deleted", rule),
    "actionIssueMembershipCreditRuleCredits": ("run.created", lambda world: rule(world, "/issue")),
    "putCoupon": ("coupon.created", lambda _: Call(f"/customers/coupons/{(name := str(uuid4()))}", COUPON, name)),
    "createMembershipType": ("membership_type.created", lambda _: Call("/customers/membership-types", {"name": "X"})),
    "redeemCredit": ("credit.redeemed", lambda world: credit(world, "redeem")._replace(body=None)),
    "revokeCredit": ("credit.revoked", lambda world: credit(world, "revoke")),
    "grantCredit": ("credit.granted", lambda world: Call("/customers/credits", {
        "membership_id": world.brand.member(external_user_id=str(uuid4())), "coupon_id": "spa", "reason": "a test"})),
    "reinstateCredit": ("credit.reinstated", lambda world: revoked(world)),
    "extendCredit": ("credit.extended", lambda world: credit(world, "extend", expires_at="2099-01-01T00:00:00Z")),
    "transferCredit": ("credit.transferred", lambda world: credit(world, "transfer", external_user_id=receiver(world))),
    "correctCredits": ("correction.made", lambda world: Call("/customers/credits/corrections", {
        "reason": "a test", "corrections": [
            {"action": "revoke", "code": credit(world, "").path.split("/")[3]},
            {"action": "revoke", "code": "NOSUCHCODE"}]})),
    "retryRejectedEvent": ("rejected_event.retried", lambda world: rejected(world, "/retry")),
    "dismissRejectedEvent": ("rejected_event.dismissed", rejected),
    "createReplay": ("run.created", lambda _: Call("/replays", {
        "from": "2031-01-01", "to": "2031-01-31", "dry_run": True})),
    "pauseRun": ("run.paused", lambda world: run(world, "pause", "running")),
    "resumeRun": ("run.resumed", lambda world: run(world, "resume", "paused")),
    "cancelRun": ("run.cancelled", lambda world: run(world, "cancel", "paused")),
    "previewMembershipCreditRule": ("run.created", lambda world: Call(f"{RULES}/preview", {
        "credit_rule_id": world.brand.rule()["id"], "rule": {"multi_use": True}})),
    "setGuard": ("guard.updated", lambda _: Call("/brand/guard", {"max_per_day": next(LIMITS)})),
    "approveHeldRule": ("held_rule.approved", lambda world: held(world, "approve")),
    "refuseHeldRule": ("held_rule.refused", lambda world: held(world, "refuse")),
    "approveRun": ("run.created", lambda world: over(world, "approve", dry_run=True)),
    "undoRun": ("run.created", lambda world: over(world, "undo", dry_run=False)),
    "undoMembershipCreditRuleVersion": ("run.created", lambda world: rule(world, "/undo")._replace(body={
        "rule_version": 1, "from": "2031-01-01T00:00:00Z", "reason": "a test"})),
    "retryQuarantined": ("membership.retried", quarantined),
    "setSandboxClock": ("clock.moved", clock),
    "setMember": ("member.updated", member),
    "removeMember": ("member.archived", member),
    "eraseMember": ("member.erased", archived),
    "creditPoints": ("wallet.credited", lambda world: Call("/v1/wallet/credit", {
        "externalUserID": member(world).path.rpartition("/")[2], "amount": 5, "reason": "a test"})),
    "putOffer": ("offer.updated", offer),
    "deleteOffer": ("offer.deleted", offer),
    "createRedemption": ("redemption.created", points),
    "moveRedemption": ("redemption.updated", redemption),
    "createWebhook": ("webhook.created", lambda _: Call("/v1/webhooks", {
        "url": "https://nowhere.invalid/secret?token=x", "events": ["credit.issued"]})),
    "deleteWebhook": ("webhook.deleted", webhook),
    "enableWebhook": ("webhook.enabled", lambda world: webhook(world, "/enable")),
    "rotateWebhookSecret": ("webhook.rotated", lambda world: webhook(world, "/rotate")),
    "disableWebhook": ("webhook.disabled", lambda world: webhook(world, "/disable")),
    "replayWebhookDelivery": ("delivery.replayed", delivery),
    "createBiller": ("biller.created", lambda _: Call("/billers", {"kind": "stripe", "secret": "whsec_of_a_test"})),
    "putBillerPrice": ("biller_price.mapped", price),
    "deleteBillerPrice": ("biller_price.deleted", lambda world: price(world, mapped=True)),
    "putBillerSecrets": ("biller.updated", lambda world: Call(
        f"/billers/{(made := biller(world))}/secrets", {"secrets": ["whsec_another_one"]}, made)),
    "reconcileBiller": ("run.created", lambda world: Call(
        f"/billers/{biller(world, api_key='sk_test_nobody')}/reconcile", {"dry_run": True})),
    "translateBillerDeliveries": ("biller.retried", untranslated),
}  # fmt: skip
#: Those that write none, and why.
NONE = {
    "postBillingEvents": "facts from billers: the inbox is their record",
    "postBillingEventBatch": "facts from billers: the inbox is their record",
    "exchangeToken": "a token",
    "receiveFromStripe": "facts from billers: the inbox is their record",
    "receiveFromMapped": "facts from billers: the inbox is their record",
}
METHODS = {
    operation["operationId"]: method.upper()
    for operations in PATHS.values()
    for method, operation in operations.items()
    if method != "get"
}
WITH_BODY = {
    operation["operationId"]
    for operations in PATHS.values()
    for operation in operations.values()
    if "requestBody" in operation
}
#: Doing these twice changes something twice.
AGAIN = {
    "createMembershipCreditRule", "updateMembershipCreditRule", "actionIssueMembershipCreditRuleCredits",
    "createMembershipType", "createReplay", "creditPoints", "createRedemption", "createWebhook",
    "replayWebhookDelivery", "redeemCredit", "previewMembershipCreditRule",
    "undoRun", "undoMembershipCreditRuleVersion", "grantCredit", "rotateWebhookSecret", "createBiller",
    "reconcileBiller",
}  # fmt: skip


def made(world: World, operation: str, call: Call, **headers: str) -> httpx.Response:
    return world.brand.http.request(METHODS[operation], call.path, json=call.body, headers=headers)


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
