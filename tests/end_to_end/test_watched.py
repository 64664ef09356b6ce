"""What operators see of it while it works: one trace an event, lines that name the request, what all processes counted.

A server of its own, of few processes, which sends its traces to a collector of ours."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from campaigns.receiver import Receiver
from campaigns.receiver import running as receiving
from issuance.embedded import procfile
from issuance.settings import Settings
from tests.end_to_end.client import Client
from tests.logs import lines
from tests.serving import Server, empty_redis, running
from tests.waiting import eventually

EVENTS = 3
#: The span of whoever sends what begins a trace.
SENDER = "00f067aa0ba902b7"
TRACEPARENT = f"00-4bf92f3577b34da6a3ce929d0e0e4736-{SENDER}-01"


class Span(NamedTuple):
    service: str
    name: str
    id: bytes
    parent: bytes
    said: dict[str, Any]


class Collector:
    """Takes what OpenTelemetry sends, by trace."""

    def __init__(self) -> None:
        self.traces: dict[str, list[Span]] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                said = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
                taken = Span(service, span.name, span.span_id, span.parent_span_id, said)
                self.traces.setdefault(span.trace_id.hex(), []).append(taken)


class Watched(NamedTuple):
    server: Server
    collector: Collector
    receiver: Receiver
    client: Client


@pytest.fixture(scope="module")
def watched(
    given: Settings, fresh_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    collector, log = Collector(), tmp_path_factory.mktemp("watched") / "log"
    commands = [["sh", "-c", command] for command in procfile.commands(small=True).values()]
    with pytest.MonkeyPatch.context() as patch, receiving() as receiver, empty_redis(given.redis_url) as redis_url:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with (
            running(commands, fresh_database(), redis_url, log) as server,
            server.client(server.new_brand().key) as http,
        ):
            client = Client(http)
            client.rule(issue_on_signup=True)
            client.ok("POST", "/v1/webhooks", 201, {"url": receiver.url, "events": ["credit.issued"]})
            yield Watched(server, collector, receiver, client)
    collector.server.shutdown()


def entries(log: Path) -> list[dict[str, Any]]:
    """Every line of every process: each is a JSON object, dramatiq's and uvicorn's own too."""
    return [json.loads(line) for line in lines(log)]


def way_back(watched: Watched, trace: str) -> list[Span]:
    """The spans of a trace from the attempt to tell a webhook back to the sender's, once all processes have sent
    theirs."""
    spans = watched.collector.traces.setdefault(trace, [])
    way: list[Span] = []

    def leads_to_the_sender() -> bool:
        by_id = {span.id: span for span in list(spans)}
        way[:] = [span for span in by_id.values() if span.name == "deliver webhook"][:1]
        while way and way[-1].parent in by_id:
            way.append(by_id[way[-1].parent])
        return bool(way) and way[-1].parent.hex() == SENDER

    eventually(leads_to_the_sender)
    return way


def test_one_trace_leads_from_an_event_to_its_webhook(watched: Watched) -> None:
    """Each of several events has its own, from the request that brought it, which may be a part of its sender's trace,
    over the queue to settling and to each attempt to tell of the credit, though a worker may settle them together.
    Every span but the first has its parent in it, and none says a code or an address."""
    sent: dict[str, str] = {}
    for number in range(EVENTS):
        signed_up = watched.client.sign_up(external_user_id=f"member {number}")
        trace = f"{number + 1:032x}"
        sent[trace] = signed_up["data"]["membership_id"]
        headers = {"traceparent": f"00-{trace}-{SENDER}-01", "X-Request-Id": f"request-{number}"}
        watched.client.http.post("/billing-events", json=signed_up, headers=headers).raise_for_status()
    watched.receiver.wait_for(EVENTS)
    told = {body["data"]["membership_id"]: body["data"]["code"] for body in bodies(watched.receiver)}
    assert set(told) == set(sent.values())
    for trace, membership_id in sent.items():
        way = way_back(watched, trace)
        assert [(span.service, span.name) for span in reversed(way)] == [
            ("issuance-web", "POST /billing-events"),
            ("issuance-web", "send settle_memberships"),
            ("issuance-worker", "process settle_memberships"),
            ("issuance-worker", "settle"),
            ("issuance-worker", "deliver webhook"),
        ]
        assert way[0].said["http.response.status_code"] == 200
        spans = watched.collector.traces[trace]
        assert not any(secret in str(spans) for secret in (told[membership_id], watched.receiver.url, "member "))


def bodies(receiver: Receiver) -> list[Any]:
    return [json.loads(body) for _, _, body in receiver.received]


MAPPING = {
    "source": "till",
    "signature": {"kind": "basic"},
    "id": ["$.id"],
    "time": {"path": "$.at", "as": "instant"},
    "membership": ["$.id"],
    "price": "$.price",
    "events": [
        {
            "when": {"$.kind": "signup"},
            "tell": "membership.signed_up",
            "data": {
                "external_user_id": "$.id",
                "starts_on": {"path": "$.at", "as": "date"},
                "billing_frequency": "P1M",
            },
        }
    ],
}


def test_a_billers_webhook_leads_on_to_its_credit_and_is_named(watched: Watched) -> None:
    """Each of several that one message has translated: its trace goes on to the attempt to tell of its credit, and the
    lines of translating, of the credit and of the attempt name its request, with the others where they are one line."""
    client, log = watched.client, watched.server.log
    body = {"kind": "mapped", "secret": "user:password", "mapping": MAPPING}
    biller = client.ok("POST", "/billers", 201, body)["id"]
    client.ok("PUT", f"/billers/{biller}/prices/gold", 200, {"membership_type_id": client.type_id})
    before = len(watched.receiver.received)
    asked = {f"{number:032x}": f"biller-{number}" for number in range(10, 10 + EVENTS)}

    def send(trace: str, request_id: str) -> None:
        said = {"id": request_id, "at": client.now, "price": "gold", "kind": "signup"}
        headers = {"traceparent": f"00-{trace}-{SENDER}-01", "X-Request-Id": request_id}
        url = f"{watched.server.url}/billers/mapped/{biller}"
        httpx.post(url, json=said, headers=headers, auth=("user", "password")).raise_for_status()

    with ThreadPoolExecutor(EVENTS) as pool:
        list(pool.map(send, *zip(*asked.items(), strict=True)))
    watched.receiver.wait_for(before + EVENTS)
    for trace in asked:
        way = way_back(watched, trace)
        assert [span.name for span in reversed(way)] == [
            "POST /billers/mapped/{biller_id}",
            "translate",
            "send settle_memberships",
            "process settle_memberships",
            "settle",
            "deliver webhook",
        ]
    for event in ("deliveries_translated", "credit_issued", "webhook_attempted"):
        eventually(lambda event=event: set(asked.values()) <= named(log, event))  # type: ignore[misc]


def named(log: Path, event: str) -> set[str]:
    """The requests that an event's lines name."""
    ours = [line for line in entries(log) if line["event"] == event]
    return {one for line in ours for one in (line.get("request_id"), *line.get("request_ids", ())) if one}


def test_a_request_is_named_in_the_workers_lines(watched: Watched) -> None:
    """With its trace; the line of each credit names the request that brought its membership, also where a worker
    settled several together."""
    ids = {}
    for number in range(EVENTS):
        signed_up = watched.client.sign_up(external_user_id=f"another {number}")
        ids[signed_up["data"]["membership_id"]] = f"named-{number}"
        headers = {"X-Request-Id": f"named-{number}", "traceparent": TRACEPARENT}
        watched.client.http.post("/billing-events", json=signed_up, headers=headers).raise_for_status()

    def named() -> dict[str, Any]:
        issued = [line for line in entries(watched.server.log) if line["event"] == "credit_issued"]
        return {line["membership"]: line.get("request_id") for line in issued if line["membership"] in ids}

    eventually(lambda: named() == ids)
    assert all({"event", "level", "timestamp"} <= line.keys() for line in entries(watched.server.log))
    issued = [line for line in entries(watched.server.log) if line.get("membership") in ids]
    assert {line["trace_id"] for line in issued} == {TRACEPARENT.split("-")[1]}


def test_all_processes_metrics_are_at_web(watched: Watched) -> None:
    """Web, scheduler and workers live; what workers timed is there, in whole histograms; and a redemption."""
    eventually(lambda: metric(watched, 'issuance_event_settled_seconds_bucket{le="+Inf"}') >= EVENTS)
    for part in ("web", "scheduler", "worker_events", "worker_bulk", "worker_webhooks"):
        lives = f'issuance_processes{{process="{part}"}}'
        eventually(lambda lives=lives: metric(watched, lives) == 1)  # type: ignore[misc]
    eventually(lambda: metric(watched, "issuance_tick_seconds_count") > 0)
    eventually(lambda: metric(watched, 'issuance_settle_seconds_count{by="event"}') >= 1)
    assert metric(watched, 'issuance_settling_failures_total{kind="membership_quarantined"}') == 0
    assert metric(watched, 'issuance_broker_unreached{kind="worker"}') == 0
    assert metric(watched, "issuance_broker_up") == 1
    code = watched.client.data("/customers/credits")[0]["code"]
    before = metric(watched, 'issuance_redeem_seconds_count{outcome="redeemed"}')
    watched.client.ok("POST", f"/customers/credits/{code}/redeem", 200, {})
    watched.client.ok("POST", f"/customers/credits/{code}/redeem", 409, {})
    eventually(lambda: metric(watched, 'issuance_redeem_seconds_count{outcome="redeemed"}') == before + 1)
    eventually(lambda: metric(watched, 'issuance_redeem_seconds_count{outcome="refused"}') == 1)
    families = re.findall(r"^# TYPE (\S+) ", watched.client.http.get("/metrics").text, re.MULTILINE)
    assert len(families) == len(set(families)), "each is told once"


def metric(watched: Watched, sample: str) -> float:
    """A sample's value; -1 where it is not there."""
    text = watched.client.http.get("/metrics").text
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return -1.0 if found is None else float(found.group(1))
