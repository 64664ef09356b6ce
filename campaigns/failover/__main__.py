"""`python -m campaigns.failover [MEMBERS] [haproxy]`: the primary is killed in the middle of a run over all members
while events come in; then every credit is accounted for. The processes know all servers, or with `haproxy` the one
address before them. As root, with Debian's patroni, etcd-server, postgresql, redis-server, and haproxy."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from sqlalchemy import Engine

from campaigns.brokers.servers import free_port, program, wait_for
from campaigns.failover.cluster import Cluster, cluster, haproxy, missing
from campaigns.faults.club import Club
from campaigns.faults.site import Site
from issuance.database import engine_for, transaction
from issuance.settings import Settings
from issuance.tenancy import brands

REPO = Path(__file__).parents[2]
LOG = Path(tempfile.gettempdir(), "issuance-failover.log")
MONTHS = ("2031-02-28T12:00:00Z", "2031-03-31T12:00:00Z")
#: The part of a run that is done when the primary is killed, and seconds within which events must be taken again.
DONE, BACK_WITHIN = 0.3, 60.0


@dataclass
class Host:
    """All processes of a host on the cluster: what a club needs of a site."""

    url: str
    engine: Engine

    def new_brand(self) -> tuple[UUID, str]:
        with transaction(self.engine) as connection:
            return brands.create(connection, name="failover", timezone="UTC", sandbox=True)

    def client(self, key: str, *, timeout: float = 300) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout, trust_env=False
        )

    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False


@dataclass
class Seen:
    """What one who posts an event each 0.1 s sees: when they were taken, and what the others were answered."""

    taken: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)

    def pause(self) -> float:
        """The longest time without an event taken, in seconds."""
        return max(later - earlier for earlier, later in pairwise(self.taken))

    def since(self, killed: float) -> float:
        """Seconds from an instant until an event was taken again for which nobody had begun to wait before."""
        return next(taken - killed for taken, begun in zip(self.taken, self.begun, strict=True) if begun > killed)


def play(servers: Cluster, host: Host, members: int) -> None:
    """Kill the primary while a month of all members is issued and events come in. Raises AssertionError if something
    was lost or doubled, or service is not back in 60 s."""
    brand_id, key = host.new_brand()
    with host.client(key) as http:
        club = Club(cast(Site, host), brand_id, http)
        began = time.monotonic()
        while club.size < members:
            club.sign_up(min(5000, members - club.size))
        club.move_clock("2031-02-01T00:00:00Z")
        print(f"{members} members signed up and settled in {time.monotonic() - began:.0f} s", flush=True)
        seen, over = Seen(), threading.Event()
        posting = threading.Thread(target=_post, args=(club, key, host, seen, over))
        posting.start()
        time.sleep(3)
        primary, before = servers.primary(), club.credits
        assert primary is not None
        moving = threading.Thread(target=club.move_clock, args=(MONTHS[0],))
        moving.start()
        while (done := club.credits - before) < DONE * members and moving.is_alive():
            time.sleep(0.02)
        primary.kill()
        killed = time.monotonic()
        print(f"  {done} of {members} credits are issued, and {primary.name}, the primary, is killed", flush=True)
        moving.join()
        print(f"the run was done {time.monotonic() - killed:.1f} s after it", flush=True)
        time.sleep(5)
        over.set()
        posting.join()
        print(f"no event was taken for {seen.pause():.1f} s at most, and one {seen.since(killed):.1f} s after the kill")
        print(f"{len(seen.taken)} events were taken; refused meanwhile, and sent again: {seen.refused}", flush=True)
        assert seen.pause() <= BACK_WITHIN
        club.move_clock(MONTHS[1])
        _check(club, len(seen.taken))
        print(f"{club.credits} credits, as many as are owed; every law holds", flush=True)


def _check(club: Club, came_meanwhile: int) -> None:
    """Whoever was there has one credit a month, whoever came meanwhile has what the laws say, and nothing is left."""
    theirs = "FROM credits WHERE membership_id > '00000001-0000-0000-0000-000000000000'"
    keys = f"SELECT count(*) FROM (SELECT DISTINCT membership_id, guest_id, period_start {theirs}) k"
    assert club.value(f"SELECT count(*) {theirs}") == club.value(keys) == 3 * club.size
    assert club.value("SELECT count(*) FROM memberships") == club.size + came_meanwhile
    assert club.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 0
    assert club.value("SELECT count(*) FROM schedules WHERE quarantined_at IS NOT NULL") == 0
    assert club.offenders() == []


def _post(club: Club, key: str, host: Host, seen: Seen, over: threading.Event) -> None:
    """Sign somebody up each 0.1 s; who is refused is signed up again until it works."""
    with host.client(key, timeout=10) as http:
        number = 0
        while not over.is_set():
            number += 1
            event = Club.event(
                f"meanwhile {number}",
                "membership.signed_up",
                membership_id=str(UUID(int=number)),
                membership_type_id=club.type_id,
                external_user_id=f"meanwhile {number}",
                starts_on="2031-01-31",
            )
            while True:
                begun = time.monotonic()
                try:
                    answer = http.post(
                        "/billing-events", json=event, headers={"Content-Type": "application/cloudevents+json"}
                    )
                    if answer.status_code == 202:
                        break
                    is_told = answer.status_code == 503 and "retry-after" in answer.headers
                    said = (
                        "503 with Retry-After" if is_told and answer.json() else f"{answer.status_code} {answer.text}"
                    )
                except httpx.TransportError as error:
                    said = type(error).__name__
                seen.refused[said] = seen.refused.get(said, 0) + 1
                time.sleep(0.1)
            seen.begun.append(begun)
            seen.taken.append(time.monotonic())
            time.sleep(0.1)


def trial(members: int, *, by_proxy: bool) -> None:
    """Play it on a cluster and processes of its own; where they log to stays until the next one. Raises
    AssertionError as `play` does."""
    with tempfile.TemporaryDirectory(prefix="issuance-failover-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with ExitStack() as stack:
            servers = stack.enter_context(cluster(folder))
            address = stack.enter_context(haproxy(servers, folder)) if by_proxy else servers.url
            port, queue = free_port(), free_port()
            given = Settings(DATABASE_URL=address, REDIS_URL=f"redis://127.0.0.1:{queue}/0")
            environment = {**os.environ, "DATABASE_URL": address, "REDIS_URL": given.redis_url}
            environment |= {"ISSUANCE_PORT": str(port), "LOG_FORMAT": "json"}
            issuance = [sys.executable, "-c", "from issuance.cli.main import main; main()"]
            subprocess.run([*issuance, "schema", "upgrade"], env=environment, check=True, cwd=REPO)
            redis = subprocess.Popen(
                [program("redis-server") or "", "--port", str(queue), "--save", ""], stdout=subprocess.DEVNULL
            )
            with LOG.open("wb") as log:
                serve = subprocess.Popen([*issuance, "serve"], env=environment, cwd=REPO, stdout=log, stderr=log)
                try:
                    host = Host(f"http://127.0.0.1:{port}", engine_for(given.database_url))
                    wait_for(host.is_ready)
                    play(servers, host, members)
                finally:
                    serve.terminate()
                    serve.wait()
                    redis.kill()
                    redis.wait()


def main() -> int:
    """Exit 2 where it can not be played."""
    words = [word for word in sys.argv[1:] if word != "haproxy"]
    if (lacking := missing()) is not None:
        print(lacking, file=sys.stderr)
        return 2
    trial(int(words[0]) if words else 100_000, by_proxy="haproxy" in sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
