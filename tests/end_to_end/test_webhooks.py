"""Webhooks from the outside: registered over HTTP, told by the running processes."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from campaigns.receiver import Receiver
from tests.serving import Server
from tests.waiting import eventually


@pytest.fixture
def live(server: Server) -> Iterator[httpx.Client]:
    """A client with the key of a new live brand."""
    with server.client(server.new_brand(sandbox=False).key) as client:
        yield client


def register(http: httpx.Client, url: str, *events: str, **headers: str) -> dict[str, Any]:
    answer = http.post("/v1/webhooks", json={"url": url, "events": list(events)}, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_registered_listed_removed(http: httpx.Client) -> None:
    """The secret is shown once; the list has the rest; removing says so, and once."""
    made = register(http, "https://example.com/expys/webhooks", "redemption.created")
    assert made["signingSecret"].startswith("whsec_")
    listed = http.get("/v1/webhooks").json()
    assert listed == {"data": [{name: value for name, value in made.items() if name != "signingSecret"}]}
    assert http.get(f"/v1/webhooks/{made['id']}").json() == listed["data"][0]
    removed = http.delete(f"/v1/webhooks/{made['id']}")
    assert (removed.status_code, removed.json()) == (200, {"id": made["id"], "ok": True})
    assert http.delete(f"/v1/webhooks/{made['id']}").status_code == 404
    assert http.get("/v1/webhooks").json() == {"data": []}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "https://example.com/"},
        {"url": "https://example.com/", "events": []},
        {"url": "https://example.com/", "events": ["credit.invented"]},
        {"url": "ftp://example.com/", "events": ["credit.issued"]},
        {"url": "http://10.0.0.1/", "events": ["credit.issued"]},
        {"url": "https://example.com/\x00", "events": ["credit.issued"]},
        {"url": "https://example.com/", "events": ["credit.issued"], "secret": "mine"},
        {"url": "https://example.com/", "events": ["credit.expiring"]},
        {"url": "https://example.com/", "events": ["credit.expiring"], "leads": []},
        {"url": "https://example.com/", "events": ["credit.expiring"], "leads": ["PT1H"]},
        {"url": "https://example.com/", "events": ["credit.issued"], "leads": ["P7D"]},
    ],
)
def test_what_is_refused(http: httpx.Client, body: dict[str, Any]) -> None:
    """422 with the fields."""
    answer = http.post("/v1/webhooks", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"]
    assert answer.json()["error"]["code"].isupper()


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/"])
def test_live_brands_are_not_told_inside(live: httpx.Client, url: str) -> None:
    """What sandboxes may, live brands may not."""
    answer = live.post("/v1/webhooks", json={"url": url, "events": ["credit.issued"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "WEBHOOK_URL_NOT_ALLOWED")


def test_an_unknown_type_of_event_has_an_error_of_its_own(http: httpx.Client) -> None:
    """Clients branch on it; it names the one that is wrong, and those that there are."""
    answer = http.post("/v1/webhooks", json={"url": "https://example.com/", "events": ["credit.issued", "offer.made"]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], set(error["fields"])) == (422, "WEBHOOK_EVENT_UNKNOWN", {"events.1"})
    assert "member.archived" in error["message"]


def test_a_webhook_says_which_environment_it_is_told_of(http: httpx.Client, live: httpx.Client) -> None:
    for client, environment in ((http, "SANDBOX"), (live, "LIVE")):
        made = register(client, "https://93.184.215.14/", "credit.issued")
        assert made["environment"] == client.get("/v1/webhooks").json()["data"][0]["environment"] == environment


def test_sent_again_the_secret_is_the_same(http: httpx.Client) -> None:
    """With an Idempotency-Key, whose answers are kept without it."""
    key = str(uuid4())
    sent = [register(http, "https://example.com/", "credit.issued", **{"Idempotency-Key": key}) for _ in range(2)]
    assert sent[0] == sent[1]
    assert len(http.get("/v1/webhooks").json()["data"]) == 1


def test_points_are_told(http: httpx.Client, receiver: Receiver) -> None:
    """A receiver that fails at first is told again; all of it is verified, and shown."""
    made = register(http, receiver.url, "wallet.credited", "member.archived")
    receiver.answers = [500]
    http.put("/v1/members/ada", json={"displayName": "Ada"})
    http.post("/v1/wallet/credit", json={"externalUserID": "ada", "amount": 7}).raise_for_status()
    http.delete("/v1/members/ada").raise_for_status()
    receiver.wait_for(3)
    said = receiver.verified(made["signingSecret"])
    assert {one["type"] for one in said} == {"wallet.credited", "member.archived"}
    path = f"/v1/webhooks/{made['id']}/deliveries"
    eventually(lambda: len(http.get(path, params={"state": "delivered"}).json()["data"]) == 2)
    deliveries = http.get(path).json()["data"]
    assert sorted(one["attempts"] for one in deliveries) == [1, 2]
    page = http.get(path, params={"limit": 1}).json()
    rest = http.get(path, params={"limit": 1, "cursor": page["nextCursor"]}).json()
    assert [page["data"][0], *rest["data"]] == deliveries
    assert rest["nextCursor"] is None
    again = http.post(f"{path}/{deliveries[0]['id']}/replay")
    assert (again.status_code, again.json()["state"]) == (200, "pending")
    receiver.wait_for(4)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 2


def test_disabled_and_enabled_by_hand(http: httpx.Client, receiver: Receiver) -> None:
    """What happens while it is disabled is not told."""
    made = register(http, receiver.url, "wallet.credited")
    path = f"/v1/webhooks/{made['id']}"
    disabled = http.post(f"{path}/disable").json()
    assert (disabled["enabled"], disabled["disabledReason"]) == (False, "Disabled by hand.")
    http.put("/v1/members/ada", json={})
    http.post("/v1/wallet/credit", json={"externalUserID": "ada", "amount": 1}).raise_for_status()
    enabled = http.post(f"{path}/enable").json()
    assert (enabled["enabled"], enabled["disabledReason"], enabled["disabledAt"]) == (True, None, None)
    http.post("/v1/wallet/credit", json={"externalUserID": "ada", "amount": 2}).raise_for_status()
    receiver.wait_for(1)
    assert [one["data"]["amount"] for one in receiver.verified(made["signingSecret"])] == [2]


def test_no_log_line_holds_a_secret(server: Server, http: httpx.Client, receiver: Receiver) -> None:
    """Neither the signing secret nor the webhook's address, whose path may be one."""
    url = receiver.url + "/path-known-to-nobody"
    made = register(http, url, "wallet.credited")
    receiver.answers = [500, 302]
    http.put("/v1/members/ada", json={})
    http.post("/v1/wallet/credit", json={"externalUserID": "ada", "amount": 1}).raise_for_status()
    receiver.wait_for(1)
    eventually(lambda: '"webhook_attempted"' in server.log.read_text())
    said = server.log.read_text()
    assert made["signingSecret"] not in said
    assert made["signingSecret"].removeprefix("whsec_") not in said
    assert "path-known-to-nobody" not in said


def test_a_webhook_shows_the_leads_that_it_asked_for(http: httpx.Client) -> None:
    """Each once, as they were written; others have none."""
    body = {"url": "https://93.184.215.14/", "events": ["credit.expiring"], "leads": ["P7D", "P1D", "P7D"]}
    made = http.post("/v1/webhooks", json=body)
    assert (made.status_code, made.json()["leads"]) == (201, ["P7D", "P1D"])
    assert http.get(f"/v1/webhooks/{made.json()['id']}").json()["leads"] == ["P7D", "P1D"]
    assert register(http, "https://93.184.215.14/", "credit.issued")["leads"] is None
