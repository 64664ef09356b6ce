"""What the console gives away is bounded: tries to sign in by address, and files by person and brand."""

import asyncio
import threading
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Connection, Engine, text

from issuance.api.app import create_app
from issuance.billing import events
from issuance.console import by_provider, signing_in
from issuance.console.reading import counted, months
from issuance.credits import liability
from issuance.database.connections import transaction
from issuance.people import oidc, passwords, people, sessions, sign_ins
from issuance.settings import Settings
from issuance.tenancy import heavy
from issuance.tenancy.fairness import FairThreads
from issuance.tenancy.shares import Shares
from tests.database.clubs import Club
from tests.database.consoles import Ask, ask, signed_in
from tests.database.test_rates import some_address
from tests.limits import Limit
from tests.waiting import PATIENCE_SECONDS

__all__ = ["ask"]


def test_an_address_may_try_so_many_passwords(ask: Callable[..., Ask]) -> None:
    """Whomever they are of; another address goes on. What is refused is not looked up."""
    try_, address = ask(sign_ins=3), some_address()

    def tried(source: str) -> httpx.Response:
        return try_("/console/sign-in", source, "POST", {"email": f"{uuid4()}@example.com", "password": "wrong"})

    answers = [tried(address) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert "at most 3 a minute" in answers[-1].text
    assert int(answers[-1].headers["Retry-After"]) > 1
    assert tried(some_address()).status_code == 401


def test_the_provider_is_asked_so_often_for_an_address(
    ask: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as passwords are tried: a stranger who makes up what a browser keeps has it asked in our name."""
    monkeypatch.setattr(oidc, "provider_of", lambda _: oidc.Provider("http://127.0.0.1:1", "issuance", None))
    asked, address = ask(sign_ins=2), some_address()
    kept = urlsafe_b64encode(b'{"state": "s", "nonce": "n", "verifier": "v"}').decode()

    def tried(cookie: str) -> int:
        return asked(
            "/console/oidc/back?code=c&state=s", address, cookie=f"; {by_provider.COOKIE}={cookie}"
        ).status_code

    assert [tried(kept) for _ in range(4)] == [503, 503, 429, 429]
    assert tried(urlsafe_b64encode(b'{"state": "\\ud800", "nonce": "n", "verifier": "v"}').decode()) == 401


def test_many_tries_of_one_address_keep_nobody_waiting(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passwords are checked at once; whoever has the fewest is next, however many others came before."""
    began: list[Hashable] = []
    begin = threading.Event()
    checking = FairThreads(2)  # of its own: others who asked a moment ago would leave the flood one place
    fair = checking._fair
    waiting, place = fair._waiting, fair.place

    @asynccontextmanager
    async def noted(owner: Hashable) -> AsyncIterator[None]:
        async with place(owner):
            began.append(owner)
            yield

    def person_with(*_: object) -> None:
        assert begin.wait(30)

    monkeypatch.setattr(fair, "place", noted)
    monkeypatch.setattr(signing_in, "_checking", checking)
    monkeypatch.setattr(passwords, "person_with", person_with)
    app = create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url}))

    async def try_(address: str) -> None:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.post("/console/sign-in", data={"email": f"{uuid4()}@example.com", "password": "wrong"})

    async def in_row(number: int) -> None:
        async with asyncio.timeout(30):
            while sum(map(len, waiting.values())) < number:
                await asyncio.sleep(0.01)

    async def all_at_once() -> None:
        flood = some_address()
        tries = [asyncio.create_task(try_(flood)) for _ in range(10)]
        await in_row(8)
        tries.append(asyncio.create_task(try_(some_address())))
        await in_row(9)
        begin.set()
        await asyncio.gather(*tries)

    asyncio.run(all_at_once())
    flood, another, till = began[:3]
    assert flood == another != till


@pytest.mark.parametrize("typed", ["\u212aate@example.com", "kate@example.\u212aom"])
def test_an_address_is_not_another_one_in_other_letters(typed: str) -> None:
    """The Kelvin sign is no k: somebody else may have the address with it."""
    assert people.as_kept(typed) == typed
    assert people.as_kept(" KATE@Example.COM ") == "kate@example.com"
    assert people.as_kept("JOS\u00c9@x") == "jos\u00e9@x"


def test_tries_that_count_no_more_are_forgotten(engine: Engine) -> None:
    """So strangers who try many addresses fill nothing."""
    emails = [f"{uuid4()}@example.com" for _ in range(2)]
    with transaction(engine) as connection:
        before = connection.scalar(text("SELECT count(*) FROM sign_in_failures"))
        for email in emails:
            sign_ins.count_try(connection, email)
        connection.execute(
            text("UPDATE sign_in_failures SET failed_at = now() - interval '25 hours' WHERE email_hash = :hash"),
            {"hash": sign_ins._hash(emails[0])},
        )
        sign_ins.forget(connection, most=1000)
        assert connection.scalar(text("SELECT count(*) FROM sign_in_failures")) <= before + 1


@pytest.mark.parametrize("page", ["", "liability", "liability?since=2031-01"])
def test_a_page_does_not_wait_for_what_is_counted(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """It says so, and looks again by itself."""
    monkeypatch.setattr(counted.Counter, "last", lambda *_: None)
    answer = ask()(f"/console/{brand_id}/{page}", "192.0.2.1", cookie=signed_in(engine, brand_id))
    assert answer.status_code == 200
    assert "being counted" in answer.text
    assert "data-live" in answer.text


@pytest.mark.parametrize("page", ["", "liability", "rule"])
def test_a_page_says_that_counting_took_too_long(
    ask: Callable[..., Ask], club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit, page: str
) -> None:
    """It is not said to be under way for ever, nor looked at again and again."""
    limit("console", patience=PATIENCE_SECONDS)

    def long(connection: Connection, *_: object, **__: object) -> None:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        connection.execute(text("SELECT pg_sleep(60)"))

    for room, count in ((months, "by_month"), (months, "happened"), (liability, "read")):
        monkeypatch.setattr(room, count, long)
    address = f"/console/{club.brand_id}/{f'rules/{club.rule_id}' if page == 'rule' else page}"
    look = ask(club.engine.url.render_as_string(hide_password=False))
    answer = look(address, "192.0.2.1", cookie=signed_in(club.engine, club.brand_id))
    assert answer.status_code == 200
    assert "Counting the credits took longer than 30 seconds" in answer.text
    assert "data-live" not in answer.text


@pytest.mark.parametrize("way", ["credits/{code}", "credits/{code}/print", "find?q={code}"])
def test_a_person_guesses_so_many_codes(ask: Callable[..., Ask], engine: Engine, brand_id: UUID, way: str) -> None:
    """However they are looked for; somebody else goes on, and names are no guesses."""
    look, one, other = ask(wrong_codes=2), signed_in(engine, brand_id), signed_in(engine, brand_id)
    page = f"/console/{brand_id}/" + way.format(code="ABCDEFGHJKMNPQRO" if "find" in way else "ABCDEFGHJKMNPQRS")
    names = [look(f"/console/{brand_id}/find?q=nobody", "192.0.2.1", cookie=one).status_code for _ in range(4)]
    assert names == [200] * 4
    known = 200 if "find" in way else 404
    answers = [look(page, "192.0.2.1", cookie=one) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [known, known, 429, 429]
    assert look(page, "192.0.2.1", cookie=other).status_code == known
    # What names no code goes on.
    assert look(f"/console/{brand_id}/credits", "192.0.2.1", cookie=one).status_code == 200


def test_a_timeline_takes_a_place_of_what_takes_long(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, type_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console explains by the same code as the API, and within the same bounds."""
    membership_id = str(uuid4())
    data = {"membership_id": membership_id, "membership_type_id": str(type_id), "external_user_id": "ada"}
    event: dict[str, Any] = {"specversion": "1.0", "source": "b", "id": "1", "type": "membership.signed_up"}
    event |= {"time": "2031-01-01T00:00:00Z", "data": {**data, "starts_on": "2031-01-01", "billing_frequency": "P1M"}}
    with transaction(engine, brand_id) as connection:
        assert events.accept(connection, brand_id, [event]).accepted == 1
    page, cookie = f"/console/{brand_id}/memberships/{membership_id}", signed_in(engine, brand_id)
    assert ask()(page, "192.0.2.1", cookie=cookie).status_code == 200
    monkeypatch.setattr(heavy, "_of_all", Shares(0))
    assert ask()(page, "192.0.2.1", cookie=cookie).status_code == 429


@pytest.mark.parametrize(
    ("role", "page", "form", "status"),
    [
        ("manager", "clock", {"day": "9999-12-31"}, 422),
        ("manager", "clock", {"day": "0001-01-01"}, 422),
        ("manager", "runs/replay", {"first": "0001-01-01", "last": "9999-12-31"}, 422),
        ("desk", "credits/ABCDEFGHJKLMN/redeem", {"reference": "x" * 256}, 422),
        ("desk", "credits/ABCDEFGHJKLMN/extend", {"expires_on": "9999-12-31", "reason": "x"}, 422),
        ("desk", "credits/ABCDEFGHJKLMN/revoke", {"reason": "x" * 501}, 422),
        ("manager", f"runs/{uuid4()}/approve", {"reason": "x" * 501}, 422),
        ("admin", "access/people", {"email": "a\x00@b.c", "role": "viewer"}, 422),
        ("manager", "catalog/types", {"name": "a\x00b", "billing": "external"}, 422),
        ("manager", "events/send", {"event": "[" * 20_000}, 422),
    ],
)
def test_a_form_takes_no_more_than_the_api(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, role: str, page: str, form: dict[str, str], status: int
) -> None:
    """Days from 1900 to 2199, texts as long as the API's, and nothing that can not be kept."""
    cookie = signed_in(engine, brand_id, role)
    form = {**form, "form_token": sessions.form_token_of(cookie)}
    assert ask()(f"/console/{brand_id}/{page}", "192.0.2.1", "POST", form, cookie=cookie).status_code == status


def test_signing_somebody_out_is_in_the_audit(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """As it is by command."""
    cookie = signed_in(engine, brand_id, "admin")
    with transaction(engine, brand_id) as connection:
        person_id = people.add(connection, brand_id, f"{uuid4()}@example.com", "viewer")
    form = {"form_token": sessions.form_token_of(cookie)}
    page = f"/console/{brand_id}/access/people/{person_id}/sign-out"
    assert ask()(page, "192.0.2.1", "POST", form, cookie=cookie).status_code == 303
    with transaction(engine, brand_id) as connection:
        said = text(
            "SELECT actor ->> 'kind' FROM audit_entries WHERE action = 'person.signed_out' AND subject_id = :id"
        )
        assert connection.scalars(said, {"id": str(person_id)}).all() == ["person"]


def test_an_origin_that_is_none_is_foreign(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """And no month is too far to be answered."""
    cookie = signed_in(engine, brand_id)
    form = {"form_token": sessions.form_token_of(cookie)}
    answer = ask()("/console/sign-out", "192.0.2.1", "POST", form, cookie=cookie, origin="http://[")
    assert answer.status_code == 403
    page = f"/console/{brand_id}/memberships/{uuid4()}?to=9999-12"
    assert ask()(page, "192.0.2.1", cookie=cookie).status_code == 422
