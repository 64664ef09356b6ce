"""How long each page takes on a brand of many memberships, who have names; on servers of its own."""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks import stage
from benchmarks.club import Club
from benchmarks.site import Site
from campaigns.console.pages import addresses
from issuance import database
from issuance.addresses import POSTGRESQL_SCHEMES

#: Months that the club goes on for, each with a credit for everybody.
MONTHS = 3
#: What people type; goals in milliseconds, for a search and for any other page.
SEARCHES = ("ada", "lovelace a", "a", "smith", "ma ro", "nobody at all", "ada.lovelace@example.com")
SEARCH_GOAL, GOAL = 500, 300
_FIRSTS = "Ada Bea Carl Dora Emil Fay Gil Hana Ines Jan Kim Lea Max Nora Olaf Pia Quin Rosa Sam Tom Uma Vera Will Zoë"
_LASTS = "Smith Lovelace Bakker Costa Duarte Evans Faria Garcia Hopper Ivanov Jensen Klein Lopes Martin Noether Rossi"
_SOMEBODY = {
    "membership_id": "SELECT membership_id FROM memberships TABLESAMPLE system (1) WHERE brand_id = %(brand_id)s"
    " ORDER BY random() LIMIT %(most)s",
    "member_id": "SELECT member_id FROM memberships TABLESAMPLE system (1) WHERE brand_id = %(brand_id)s"
    " ORDER BY random() LIMIT %(most)s",
    "code": "SELECT code FROM credits TABLESAMPLE system (1) WHERE brand_id = %(brand_id)s"
    " ORDER BY random() LIMIT %(most)s",
}
# Names as people have them: a few are many's, and every one is somebody's.
_NAMED = """
    UPDATE guests SET (name, email) = (
        SELECT f || ' ' || l || CASE WHEN n %% 3 = 0 THEN '-' || substr(md5(guest_id::text), 1, 5) ELSE '' END,
               lower(f || '.' || l || '.' || n || '@example.com')
          FROM (SELECT abs(hashtext(guest_id::text)) AS n) AS numbered,
               LATERAL (SELECT (string_to_array(%(firsts)s, ' '))[1 + n %% 24] AS f,
                               (string_to_array(%(lasts)s, ' '))[1 + n / 24 %% 16] AS l) AS named)
     WHERE membership_id IN (SELECT membership_id FROM memberships WHERE brand_id = %(brand_id)s
                              AND membership_id >= %(first)s::uuid AND membership_id < %(last)s::uuid)
"""


def measure(home: Path, members: int, times: int, *, stay: bool = False) -> int:
    """Print the table as markdown; 1 where a page misses its goal. `stay`: once more for each line that is typed."""
    with stage.set_up(home) as where:
        club = Club(where, where.database("console"), members, rules=2)
        _name(club)
        with where.running(club.url) as site:
            for _ in range(MONTHS):
                club.move_clock(site, club.next_month())
        where.settle_down("console")
        print(f"the club is there; its database: {club.url}", file=sys.stderr, flush=True)
        rows = _shown(where, club, times)
        while stay and sys.stdin.readline().strip():
            rows = _shown(where, club, times)
    slow = [path for path, _, p95, _ in rows if p95 > (SEARCH_GOAL if "find" in path else GOAL)]
    for path in slow:
        print(f"too slow: {path}")
    return 1 if slow else 0


def _shown(where: stage.Stage, club: Club, times: int) -> list[tuple[str, float, float, float]]:
    print("| page | p50 ms | p95 ms | kB |\n|---|---|---|---|", flush=True)
    rows = []
    with where.running(club.url) as site:
        for row in _timed(where, club, site, times):
            rows.append(row)
            print(_line(*row), flush=True)
    return rows


def _timed(where: stage.Stage, club: Club, site: Site, times: int) -> Iterator[tuple[str, float, float, float]]:
    told = ("people", "add", "--brand", str(club.brand_id), "--email", "ada@example.com", "--role", "admin", "--json")
    link = urlsplit(json.loads(where.issuance(club.url, *told))["link"]).path
    engine = database.engine_for(club.url.replace(POSTGRESQL_SCHEMES[1], POSTGRESQL_SCHEMES[0], 1))
    with httpx.Client(base_url=site.url, follow_redirects=True, timeout=300, trust_env=False) as http:
        http.post(link).raise_for_status()
        with database.transaction(engine, club.brand_id) as connection:
            found: dict[str, Any] = addresses(connection, club.brand_id)
        for typed in SEARCHES:
            found[f"find?q={typed}"] = f"/console/{club.brand_id}/find?q={typed}"
        somebody = {
            path: _others(club, path, times)
            for path in found
            if "membership" in path or "member_id" in path or "code" in path
        }
        for path, address in found.items():
            if address is not None:
                shown = path.removeprefix("/console/").replace("{brand_id}/", "") or "(start)"
                yield (shown, *_asked(http, somebody.get(path) or [address] * times))
    engine.dispose()


def _others(club: Club, path: str, times: int) -> list[str]:
    """A page of so many people: each for the first time. Empty: it is of nobody."""
    for name, statement in _SOMEBODY.items():
        if f"{{{name}}}" in path:
            with club.connected() as connection:
                found = connection.execute(statement.encode(), {"brand_id": club.brand_id, "most": times}).fetchall()
            return [path.format(brand_id=club.brand_id, **{name: value}) for (value,) in found]
    return []


def _asked(http: httpx.Client, asked: list[str]) -> tuple[float, float, float]:
    took, size = [], 0
    for address in asked:
        began = time.perf_counter()
        answer = http.get(address)
        took.append((time.perf_counter() - began) * 1000)
        size = len(answer.content)
        assert answer.status_code == httpx.codes.OK, f"{address}: {answer.status_code}"
    return statistics.median(took), sorted(took)[max(0, int(len(took) * 0.95) - 1)], size / 1000


def _name(club: Club) -> None:
    with club.connected() as connection:
        bounds = [f"{n:02x}000000-0000-0000-0000-000000000000" for n in range(256)]
        for first, last in zip(bounds, [*bounds[1:], "ffffffff-ffff-ffff-ffff-ffffffffffff"], strict=True):
            said = {"brand_id": club.brand_id, "first": first, "last": last}
            connection.execute(_NAMED.encode(), {**said, "firsts": _FIRSTS, "lasts": _LASTS})


def _line(path: str, p50: float, p95: float, size: float) -> str:
    return f"| `{path}` | {p50:.0f} | {p95:.0f} | {size:.0f} |"
