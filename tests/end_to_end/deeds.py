"""Every operation that changes something, with an example of it."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

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
