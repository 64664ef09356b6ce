"""A till beside each attack: how long another brand's redemptions and a run of theirs take then, and how much memory
processes have."""

import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from campaigns.doors import attacks
from campaigns.doors.attacks import Prey
from campaigns.faults.site import Site, running_site

#: Seconds that the till is watched, alone and beside each attack; between two of its redemptions.
WATCHED, PAUSE = 10.0, 0.02
#: Beside anything a till's p99 is at most so many times what it is alone, and no process has more memory, in MB.
MOST_TIMES, MOST_MEMORY = 2.0, 400
#: A small run of the till's brand is done within so many seconds: no batch is broken off, so it waits for the first.
MOST_RUN = 30.0
_SPAWN = multiprocessing.get_context("spawn")


class Beside(NamedTuple):
    """What a till saw beside an attack: its median and p99 in seconds, how long a run of its brand took, the largest
    process, and what was answered."""

    name: str
    median: float
    p99: float
    run: float
    memory: int
    largest: str
    answers: dict[str, int]


def campaign(home: Path, names: list[str]) -> Iterator[Beside]:
    """What a till sees alone, and beside each attack in turn."""
    with running_site(home) as site:
        code, till = _till(site)
        prey = _prey(site)
        _watch(till, code, 3.0)  # everything is warm
        yield _measured(site, "alone", till, code)
        for name in names or [*attacks.ATTACKS, *attacks.HELD]:
            with _attacked(name, prey) as answers:
                time.sleep(0.5)
                seen = _measured(site, name, till, code)
            yield seen._replace(answers=answers())
            time.sleep(2.0)
        yield _measured(site, "alone again", till, code)


def _measured(site: Site, name: str, till: Prey, code: str) -> Beside:
    with _SPAWN.Pool(1) as pool:
        ran = pool.apply_async(_run, (till,))
        taken = sorted(_watch(till, code, WATCHED))
        run = ran.get()
    memory, largest = _memory(site)
    return Beside(name, taken[len(taken) // 2], taken[int(len(taken) * 0.99)], run, memory, largest, {})


def _watch(till: Prey, code: str, seconds: float) -> list[float]:
    """How long redemptions took, one after the other, each in a process of its own and on a connection that stays."""
    with _SPAWN.Pool(1) as pool:
        return list(pool.apply(_redeem, (till, code, seconds)))


def _redeem(till: Prey, code: str, seconds: float) -> list[float]:
    taken: list[float] = []
    connection = HTTPConnection(till.host, till.port, timeout=120)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {till.key}"}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        connection.request("POST", f"/customers/credits/{code}/redeem", "{}", headers)
        answer = connection.getresponse()
        answer.read()
        taken.append(time.perf_counter() - began)
        assert answer.status == 200, answer.status
        time.sleep(PAUSE)
    return taken


def _run(till: Prey) -> float:
    """How long a dry run of the till's rule takes, from when it is asked for until it is finished."""
    connection = HTTPConnection(till.host, till.port, timeout=120)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {till.key}"}

    def said(method: str, path: str, body: str | None = None) -> Any:
        connection.request(method, path, body, headers)
        return json.loads(connection.getresponse().read())

    began = time.perf_counter()
    run = said("POST", f"/customers/membership-credit-rules/{till.known['rule']}/issue", '{"dry_run": true}')
    while run["state"] != "finished" and time.perf_counter() - began < 2 * MOST_RUN:
        time.sleep(0.1)
        run = said("GET", f"/runs/{run['id']}")
    return time.perf_counter() - began


@contextmanager
def _attacked(name: str, prey: Prey) -> Iterator[Any]:
    stop, said = _SPAWN.Event(), _SPAWN.SimpleQueue()
    process = _SPAWN.Process(target=_attack, args=(name, prey, stop, said), daemon=True)
    process.start()
    try:
        yield said.get
    finally:
        stop.set()


def _attack(name: str, prey: Prey, stop: Any, said: Any) -> None:
    over = threading.Event()

    def end() -> None:
        stop.wait()
        over.set()

    threading.Thread(target=end, daemon=True).start()
    how = attacks.hold if name in attacks.HELD else attacks.go_on
    said.put(how(name, prey, over))


def _memory(site: Site) -> tuple[int, str]:
    """The most memory that any of our own processes has had, in MB, and which."""
    most = (0, "")
    for name, pids in site.processes().items():
        if name in ("postgres", "valkey"):
            continue
        for pid in pids:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            had = next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
            most = max(most, (had, name))
    return most


def _till(site: Site) -> tuple[str, Prey]:
    """A brand with one credit that can be used again and again."""
    _, key = site.new_brand()
    address = urlsplit(site.url)
    with site.client(key) as http:
        known = _furnished(http, guests=1)
        wanted = {"membership_id": known["one"], "coupon_id": "spa", "multi_use": True, "reason": "till"}
        granted = http.post("/customers/credits", json=wanted).raise_for_status()
    return granted.json()["code"], Prey(str(address.hostname), address.port or 0, key, "", known)


def _prey(site: Site) -> Prey:
    """An attacker's brand, with a crowd and much of everything."""
    _, key = site.new_brand()
    address = urlsplit(site.url)
    with site.client(key) as http:
        known = _furnished(http, guests=500)
        for number in range(100):
            body = {"name": "n" * 255, "description": "\U0001d54f" * 4000, "discount": {"type": "percent", "value": 1}}
            http.put(f"/customers/coupons/c{number}", json={**body, "offerings": ["x" * 8000]}).raise_for_status()
        for _ in range(100):
            _sign_up(http, known["type"], 100)
        token = http.post("/v1/auth/exchange", json={"externalUserID": "ada"}).json()["accessToken"]
    return Prey(str(address.hostname), address.port or 0, key, token, known)


def _furnished(http: Any, *, guests: int) -> dict[str, str]:
    def made(method: str, path: str, body: Any) -> Any:
        answer = http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    type_id = made("POST", "/customers/membership-types", {"name": "Gold"})["id"]
    made("PUT", "/customers/coupons/spa", {"name": "Spa", "discount": {"type": "percent", "value": 10}})
    rule = {"membership_type_id": type_id, "coupon_id": "spa", "coupon_name": "Spa", "issue_on_signup": True}
    rule_id = made("POST", "/customers/membership-credit-rules", {**rule, "for_lead_booker_only": False})["id"]
    orders = {"one": _sign_up(http, type_id, 1), "crowd": _sign_up(http, type_id, guests)}
    return {"type": type_id, "rule": rule_id, **orders}


def _sign_up(http: Any, type_id: str, guests: int) -> str:
    one = str(uuid4())
    party = [{"guest_id": str(uuid4()), "name": f"Guest {place}", "lead_booker": place == 0} for place in range(guests)]
    now = http.get("/sandbox/clock").json()["now"][:10]
    data = {"membership_id": one, "membership_type_id": type_id, "external_user_id": one, "starts_on": now}
    event = {"specversion": "1.0", "id": one, "source": "doors", "type": "membership.signed_up"}
    said = {**event, "time": f"{now}T00:00:00Z", "data": {**data, "guests": party}}
    http.post("/billing-events", json=said).raise_for_status()
    return one
