"""Stripe plugged in, from the outside: webhooks in over HTTP, credits out (INTERFACE 7, Stripe)."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest
import redis

from issuance.database.connections import transaction
from issuance.embedded import procfile
from issuance.settings import Settings
from issuance.tenancy import keys
from tests.end_to_end.client import Client
from tests.serving import Server, empty_redis, running
from tests.stripe import SECRET, sequences, signed

FIRST = sequences()[0]


class Plugged(NamedTuple):
    """A brand with Stripe plugged in."""

    brand: Client
    biller_id: str
    brand_id: UUID

    def deliver(self, event: Any, *, secret: str = SECRET, status: int = 200, at: float | None = None) -> Any:
        """Send a webhook as Stripe does, which shows no key."""
        body = json.dumps(event).encode()
        path = f"/billers/stripe/{self.biller_id}"
        answer = httpx.post(
            str(self.brand.http.base_url) + path, content=body, headers=signed(body, secret, at), timeout=60
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def map(self, price: str = "price_gold") -> Any:
        path = f"/billers/{self.biller_id}/prices/{price}"
        return self.brand.ok("PUT", path, 200, {"membership_type_id": self.brand.type_id})

    def said(self) -> Any:
        """What is said of the biller."""
        (biller,) = self.brand.data("/billers")
        return biller


@contextmanager
def plugged_in(server: Server, *, sandbox: bool = True) -> Iterator[Plugged]:
    made = server.new_brand("Europe/Berlin", sandbox=sandbox)
    with server.client(made.key) as http:
        answer = http.post("/billers", json={"kind": "stripe", "secret": SECRET})
        assert answer.status_code == 201, answer.text
        assert SECRET not in answer.text
        assert answer.json()["url"] == f"{server.url}/billers/stripe/{answer.json()['id']}"
        yield Plugged(Client(http, clock=sandbox), answer.json()["id"], made.brand_id)


@pytest.fixture
def plugged(server: Server) -> Iterator[Plugged]:
    with plugged_in(server) as one:
        yield one


def test_webhooks_become_credits(plugged: Plugged) -> None:
    """By themselves, whoever waits for the clock: the membership says what it is at Stripe."""
    plugged.brand.rule(issue_on_signup=True, roll_over=True)
    plugged.map()
    for event in FIRST["stripe_events"]:
        assert plugged.deliver(event) == {"received": True}
        assert plugged.deliver(event) == {"received": True}
    plugged.brand.until(FIRST["settled_at"])
    (membership,) = plugged.brand.data("/customers/memberships", source_ref="sub_a/si_1_a")
    assert membership["external_user_id"] == "cus_a"
    issued = plugged.brand.data("/customers/credits", membership_id=membership["id"])
    assert sorted(credit["period_start"] for credit in issued) == ["2031-01-15", "2031-02-15", "2031-03-15"]


def unmappable(plugged: Plugged) -> float:
    """How many deliveries to the whole installation can not be translated."""
    lines = plugged.brand.http.get("/metrics").text.splitlines()
    (count,) = (line.split()[1] for line in lines if line.startswith("issuance_biller_deliveries_unmappable "))
    return float(count)


def test_what_nobody_mapped_is_shown_and_translated_once_it_is(plugged: Plugged) -> None:
    plugged.brand.rule(issue_on_signup=True, roll_over=True)
    before = unmappable(plugged)
    for event in FIRST["stripe_events"]:
        plugged.deliver(event)
    plugged.brand.until("2031-01-02T00:00:00Z")
    (row,) = plugged.said()["untranslated"]
    assert (row["code"], row["price"], row["deliveries"]) == ("unmapped_price", "price_gold", 10)
    assert unmappable(plugged) == before + 10
    plugged.map()
    plugged.brand.until(FIRST["settled_at"])
    assert len(plugged.brand.data("/customers/credits")) == 3
    assert plugged.said()["untranslated"] == []
    assert plugged.said()["prices"] == [
        {"price": "price_gold", "membership_type_id": plugged.brand.type_id, "current_period": "keep"}
    ]


def test_a_price_may_have_slashes(plugged: Plugged) -> None:
    """Billers name prices as they like: it is mapped and forgotten as any other."""
    assert plugged.map("gold%2Fmonthly%20%C3%A9")["price"] == "gold/monthly é"
    assert [price["price"] for price in plugged.said()["prices"]] == ["gold/monthly é"]
    plugged.brand.ok("DELETE", f"/billers/{plugged.biller_id}/prices/gold%2Fmonthly%20%C3%A9", 204)
    assert plugged.said()["prices"] == []


def test_fields_are_known_by_their_names_alone(plugged: Plugged) -> None:
    """Not by those that the code has for them; and a body whose fields may all be absent may be absent."""
    reconcile = f"/billers/{plugged.biller_id}/reconcile"
    answer = plugged.brand.http.post(reconcile, json={"everything": True})
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"everything"})
    time = {"path": "$.at", "read_as": "date"}
    mapping: dict[str, Any] = {"source": "b", "signature": {"kind": "basic"}, "time": time, "membership": ["$.m"]}
    mapping["events"] = [{"when": {"$.kind": "x"}, "tell": "membership.status_changed"}]
    new = {"kind": "mapped", "secret": "user:secret", "mapping": mapping}
    answer = plugged.brand.http.post("/billers", json=new)
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {"mapping.time.read_as"})
    mapping["time"] = {"path": "$.at"}
    answer = plugged.brand.http.post("/billers", json={**new, "api_key": "a key to nothing"})
    assert (answer.status_code, "no API" in answer.text) == (422, True)
    assert plugged.brand.http.post(reconcile).json() == plugged.brand.http.post(reconcile, json={}).json()


def test_secrets_are_never_shown(plugged: Plugged) -> None:
    plugged.brand.ok("POST", "/billers", 201, {"kind": "stripe", "secret": SECRET, "api_key": "sk_test_of_nobody"})
    text = plugged.brand.http.get("/billers").text
    assert SECRET not in text
    assert "sk_test" not in text
    assert [one["can_be_asked"] for one in plugged.brand.data("/billers")] == [False, True]


def test_a_wrong_signature_is_refused_and_nothing_is_kept(plugged: Plugged) -> None:
    event = FIRST["stripe_events"][0]
    for wrong in ({"secret": "whsec_of_somebody_else"}, {"at": 1_000_000_000}):
        refused = plugged.deliver(event, status=400, **wrong)
        assert refused["error"]["code"] == "bad_signature"
    assert plugged.brand.data(f"/billers/{plugged.biller_id}/deliveries") == []


def test_secrets_are_rotated_with_overlap(plugged: Plugged) -> None:
    event, path = FIRST["stripe_events"][0], f"/billers/{plugged.biller_id}/secrets"
    shown = plugged.brand.ok("PUT", path, 200, {"secrets": ["whsec_new_one", SECRET]})
    assert (shown["id"], shown["url"].partition("/billers/")[2]) == (plugged.biller_id, f"stripe/{plugged.biller_id}")
    plugged.deliver(event)
    plugged.deliver(event, secret="whsec_new_one")
    plugged.brand.ok("PUT", path, 200, {"secrets": ["whsec_new_one"]})
    plugged.deliver(event, status=400)
    for wrong in ([], ["whsec_one_x", "whsec_two_x", "whsec_three"], ["short"]):
        plugged.brand.ok("PUT", path, 422, {"secrets": wrong})


def test_a_secret_that_comes_later_opens_what_comes_after_it(server: Server) -> None:
    """The biller shows it once it knows the URL; what it sent before it sends again."""
    made = server.new_brand("Europe/Berlin", sandbox=True)
    event = FIRST["stripe_events"][0]
    with server.client(made.key) as http:
        biller_id = http.post("/billers", json={"kind": "stripe"}).json()["id"]
        plugged = Plugged(Client(http, clock=True), biller_id, made.brand_id)
        plugged.deliver(event, status=400)
        plugged.brand.ok("PUT", f"/billers/{biller_id}/secrets", 200, {"secrets": [SECRET]})
        plugged.deliver(event)


def test_an_unknown_biller_is_404(plugged: Plugged) -> None:
    for biller_id in (str(uuid4()), "no-id", plugged.brand.type_id):
        refused = plugged._replace(biller_id=biller_id).deliver(FIRST["stripe_events"][0], status=404)
        assert refused["error"]["code"] == "not_found"


@pytest.mark.parametrize(("livemode", "into"), [(True, "sandbox"), (False, "live")])
def test_the_wrong_mode_is_kept_as_refused(server: Server, livemode: bool, into: str) -> None:
    """200, so that Stripe does not send it again and again; nothing comes of it."""
    with plugged_in(server, sandbox=into == "sandbox") as plugged:
        plugged.map()
        for event in FIRST["stripe_events"]:
            plugged.deliver({**event, "livemode": livemode})
        (row,) = plugged.said()["untranslated"]
        assert (row["state"], row["code"], row["deliveries"]) == ("refused", "wrong_mode", 10)
        assert plugged.brand.data("/customers/memberships") == []


def test_billers_are_for_admins(server: Server, plugged: Plugged) -> None:
    for scope in ("read", "write", "issue"):
        with transaction(server.engine, plugged.brand_id) as connection:
            _, key = keys.create(connection, plugged.brand_id, [scope])
        with server.client(key) as http:
            assert http.get("/billers").status_code == 403


def test_whoever_is_killed_after_the_answer_loses_nothing(
    given: Settings, fresh_database: Callable[[], str], tmp_path: Path
) -> None:
    """All processes at once, right after a 200, and the queue with them: what was answered is translated and settled by
    those that come after."""
    commands = [["sh", "-c", command] for command in procfile.commands().values()]
    url, events = fresh_database(), FIRST["stripe_events"]
    with empty_redis(given.redis_url) as queue:
        with running(commands, url, queue, tmp_path / "first") as server, plugged_in(server) as plugged:
            plugged.brand.rule(issue_on_signup=True, roll_over=True)
            plugged.map()
            for event in events:
                plugged.deliver(event)
            server.kill()
        with redis.Redis.from_url(queue) as client:
            client.flushdb()
        with running(commands, url, queue, tmp_path / "second") as server:
            host, headers = server.url, plugged.brand.http.headers
            with httpx.Client(base_url=host, headers=headers, timeout=300) as http:
                clock = http.put("/sandbox/clock", json={"now": FIRST["settled_at"]})
                assert clock.json()["settled"] is True
                issued = http.get("/customers/credits").json()["data"]
    assert sorted(credit["period_start"] for credit in issued) == ["2031-01-15", "2031-02-15", "2031-03-15"]
