"""A share of the campaign: every route, with the largest input that it accepts, keeps to its bounds."""

import asyncio
import gc
import resource
from pathlib import Path

import httpx

from campaigns.doors import pages
from campaigns.doors.walk import WAIT, walk
from campaigns.fuzz.site import site_on
from issuance.api import document
from issuance.api.app import create_app
from issuance.settings import Settings
from tests.limits import Limit


def test_every_route_keeps_to_its_bounds_with_the_largest_input(database_url: str, redis_url: str) -> None:
    """None answers more, none grows the process, none breaks; one that is new is walked through by itself."""
    given = Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    walked = walk(given, crowd=100, coupons=20)
    assert walked.offences == []
    operations = [one for path in create_app(given).openapi()["paths"].values() for one in path.values()]
    assert walked.routes == ({one["operationId"] for one in operations} | pages.routes()) - WAIT


def test_no_answer_is_longer_than_may_be_asked_for(database_url: str, redis_url: str, limit: Limit) -> None:
    """Whatever a brand has much of: more is refused by what would be less. Lists are, and what writes itself."""
    with site_on(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url})) as site:
        one = site.known["membership_id"][0]
        asked = ("/customers/memberships?per_page=12", f"/customers/memberships/{one}/explain")
        assert [site.call("GET", path).status_code for path in asked] == [200, 200]
        limit("doors", longest_answer=400)
        for path in asked:
            answer = site.call("GET", path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "too_much_asked")
        assert site.call("GET", "/customers/coupons?per_page=1&page=9").status_code == 200
        grant = {"action": "grant", "membership_id": one, "coupon_id": site.known["coupon_id"][0], "reason": "x"}
        made = site.call("POST", "/customers/credits/corrections", json={"corrections": [grant]})
        assert (made.status_code, made.json()["refused"]) == (200, []), "it is made by then"


def test_what_strangers_may_ask_for_is_made_once(database_url: str, redis_url: str) -> None:
    """The API document is long: it is neither made for a wrong method nor written anew for each who asks."""
    app = create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url}))

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return [await client.request(*one) for one in (("PATCH", "/runs"), ("GET", "/openapi.json"))]

    wrong, described = asyncio.run(ask())
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert app.state.document is document.written(app)
    assert described.content == app.state.document
    assert described.json() == app.openapi()


def test_bodies_that_are_no_json_are_not_kept(database_url: str, redis_url: str) -> None:
    """Not even until Python next looks for garbage: a few hundred of them would fill the memory."""
    with site_on(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url})) as site:
        body = b"[" + b" " * 1_500_000
        assert site.call("POST", "/billing-events", content=body).status_code == 400
        gc.collect()
        gc.disable()
        try:
            before = _memory()
            for _ in range(60):
                site.call("POST", "/billing-events", content=body)
            assert _memory() - before < 45
        finally:
            gc.enable()


def _memory() -> int:
    """What this process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_000_000
