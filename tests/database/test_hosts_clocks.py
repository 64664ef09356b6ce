"""A host's clock may be wrong: what is good, and for how long, PostgreSQL's says, and in the queue the broker's."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from uuid import UUID, uuid4

import dramatiq.common
import jwt.api_jwt
import pytest
from joserfc.jwk import ECKey, KeySet
from joserfc.jwt import encode
from sqlalchemy import Connection, Engine, text

from campaigns.receiver import Receiver
from issuance import hints
from issuance.billers import billers, receiving
from issuance.billers.adapter import BadSignature
from issuance.billers.billers import New
from issuance.database.connections import looks_for, transaction
from issuance.errors import Invalid
from issuance.members import members
from issuance.members.profiles import MemberProfile
from issuance.people.oidc import NotVouchedFor, Provider
from issuance.settings import OwnSettings
from issuance.tenancy import keys, tokens
from issuance.tenancy.rates import OF_A_KEY, RateLimited, Rates
from tests.hooks import Hook
from tests.limits import Limit, count_at_leisure
from tests.stripe import SECRET, signed
from worker.messages import TrustsItsQueue

#: By how many seconds the clock of a host is off.
OFF = [600, -86_400]


@contextmanager
def host(off: int) -> Iterator[None]:
    """What is done meanwhile is done on a host whose clock is off by so many seconds."""
    right = time.time

    class OffBy(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=off)

    with pytest.MonkeyPatch.context() as patch:
        for module in (time, dramatiq.common):
            patch.setattr(module, "time", lambda: right() + off)
        for module in (jwt.api_jwt, tokens, keys):
            patch.setattr(module, "datetime", OffBy, raising=False)
        yield


@pytest.mark.parametrize("off", OFF)
def test_a_token_is_good_for_a_quarter_of_an_hour_on_every_host(
    connection: Connection, brand_id: UUID, off: int
) -> None:
    """Wherever it was made, and not for longer."""
    key_id, _ = keys.create(connection, brand_id, ["tokens"])
    members.upsert(connection, brand_id, "ada", MemberProfile.model_validate({}))
    member_id = members.id_of(connection, brand_id, "ada")
    here = tokens.mint(connection, brand_id, member_id, key_id)
    with host(off):
        there = tokens.mint(connection, brand_id, member_id, key_id)
    assert there.expires_at == here.expires_at
    claims = tokens.claims_of(here.access_token)
    over = tokens.sign(connection, {**claims, "exp": claims["exp"] - int(tokens.LIFETIME.total_seconds())})
    shown = [here.access_token, there.access_token, over]
    for clock in (0, off):
        with host(clock):
            assert [tokens.find(connection, one) is not None for one in shown] == [True, True, False]


def test_a_key_expires_on_a_day_to_come(connection: Connection, brand_id: UUID) -> None:
    """By the day that it is in the brand's zone, not by a host that is a day behind."""
    today = connection.scalar(
        text("SELECT CAST(now() AT TIME ZONE timezone AS date) FROM brands WHERE brand_id = :id"), {"id": brand_id}
    )
    with host(-86_400), pytest.raises(Invalid, match="a day to come"):
        keys.create(connection, brand_id, ["read"], expires_on=today)


@pytest.mark.parametrize("off", OFF)
def test_a_webhook_says_when_it_was_sent(hook: Hook, receiver: Receiver, off: int) -> None:
    """Receivers refuse one that is minutes old or not sent yet. And one that asks for rest until an instant gets it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(503)
        request.send_header("Retry-After", format_datetime(datetime.now(UTC) + timedelta(seconds=1200), usegmt=True))
        request.end_headers()

    receiver.answers = [answer]
    hook.tell()
    with host(off):
        hook.deliver()
    ((_, headers, _),) = receiver.received
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30
    (delivery,) = hook.deliveries()
    assert abs(delivery.next_at - datetime.now(UTC) - timedelta(seconds=1200)) < timedelta(seconds=30)


@pytest.mark.parametrize("off", OFF)
def test_a_billers_signature_is_good_for_300_seconds(engine: Engine, brand_id: UUID, off: int) -> None:
    """Those of now are taken on every host, and one of before on none."""
    with transaction(engine, brand_id) as connection:
        biller_id = billers.create(connection, brand_id, New("stripe", [SECRET]))
    looks, now = looks_for(engine.url.render_as_string(hide_password=False)), time.time()

    def take(at: float) -> None:
        headers = {name.lower(): value for name, value in signed(b"{}", at=at).items()}
        with host(off):
            receiving.verify(receiving.find(looks, "stripe", biller_id), b"{}", headers)

    take(now)
    with pytest.raises(BadSignature):
        take(now - 400)


@pytest.mark.parametrize("off", OFF)
def test_a_provider_vouches_for_somebody_just_now(monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    """On every host, and for as long as it says."""
    key, now = ECKey.generate_key("P-256"), int(time.time())
    provider = Provider("https://provider.example", "issuance", None)
    monkeypatch.setattr(Provider, "_known_keys", lambda *_, **__: KeySet([key]))
    claims: dict[str, Any] = {
        "iss": provider.issuer,
        "aud": "issuance",
        "sub": "1",
        "nonce": "n",
        "email": "a@b.example",
    }
    claims |= {"email_verified": True, "iat": now, "exp": now + 120}
    said = encode({"alg": "ES256"}, claims, key)
    with host(off):
        assert provider._identity(said, "n", lambda: now + 60).subject == "1"
        with pytest.raises(NotVouchedFor):
            provider._identity(said, "n", lambda: now + 600)


@pytest.mark.parametrize("off", [86_400, -86_400])
def test_hosts_count_together(redis_url: str, limit: Limit, off: int) -> None:
    """A limit is one, whatever minute a host takes it to be."""
    count_at_leisure(limit, window=40_000)
    settings = OwnSettings.model_validate({"ISSUANCE_RATE_KEY": 5})
    ours, theirs, who = Rates(redis_url, settings), Rates(redis_url, settings), str(uuid4())

    def spends(limits: Rates) -> bool:
        try:
            limits.take(OF_A_KEY, who)
        except RateLimited:
            return False
        return True

    spent = 0
    for _ in range(6):
        spent += spends(ours)
        with host(off):
            spent += spends(theirs)
    assert spent == 5


@pytest.mark.parametrize("off", OFF)
def test_no_living_worker_is_taken_for_a_dead_one(redis_url: str, off: int) -> None:
    """What is being worked on is nobody else's: not for a host that is ahead, nor where one is behind."""
    make: Any = hints.broker_for
    ours, theirs = (make.__wrapped__(redis_url, TrustsItsQueue) for _ in range(2))
    ours.flush(hints.BULK_QUEUE)  # what other tests asked for
    here, there = ours.consume(hints.BULK_QUEUE), theirs.consume(hints.BULK_QUEUE)
    for first, second, clocks in ((here, there, (0, off)), (there, here, (off, 0))):
        hints.work_on_run(ours, uuid4(), uuid4())
        with host(clocks[0]):
            message = next(one for one in first if one is not None)
        with host(clocks[1]):
            assert next(second) is None
        first.ack(message)
    for consumer in (here, there):
        consumer.close()
