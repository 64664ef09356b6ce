"""Names whose servers never answer keep nobody waiting but their own brand, and that not for long."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from issuance.api.app import THREADS
from issuance.tenancy import heavy
from issuance.tenancy.shares import Shares
from issuance.webhooks import addresses
from issuance.webhooks.lookups import (
    KEPT,
    MOST,
    MOST_A_BRAND,
    MOST_FAILING_A_BRAND,
    Lookups,
    NoLookupLeft,
    TooManyLookups,
)
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The servers of `silent.example` answer only when the event is set."""
    ends = threading.Event()

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        if host == "silent.example":
            ends.wait(PATIENCE_SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield ends
    ends.set()


def test_a_brand_has_its_share_of_look_ups(silence: threading.Event) -> None:
    """Four that never end are all that it has; they are not waited for, and other brands look up as before."""
    lookups, ours, theirs = Lookups(most=6, kept=1), uuid4(), uuid4()

    async def everything() -> list[Any]:
        never = (lookups.find("silent.example", 0, ours, limit=0.05) for _ in range(18))
        return await asyncio.gather(
            *never, lookups.find("example.com", 0, theirs, limit=PATIENCE_SECONDS / 2), return_exceptions=True
        )

    *never, found = asyncio.run(everything())
    assert found == ["93.184.216.34"]
    assert [type(one) for one in never].count(TimeoutError) == 4
    assert [type(one) for one in never].count(TooManyLookups) == 14
    with pytest.raises(TooManyLookups):
        asyncio.run(lookups.find("example.com", 0, ours))
    silence.set()


def test_a_brands_failing_webhooks_have_half_of_its_share(silence: threading.Event) -> None:
    """Those of its own whose names are known are looked up beside them, as is what it registers."""
    lookups, ours = Lookups(), uuid4()

    async def everything() -> list[Any]:
        never = (lookups.find("silent.example", 0, ours, failing=True, limit=0.05) for _ in range(18))
        return await asyncio.gather(*never, lookups.find("example.com", 0, ours), return_exceptions=True)

    *never, found = asyncio.run(everything())
    assert found == ["93.184.216.34"]
    assert [type(one) for one in never].count(TimeoutError) == MOST_FAILING_A_BRAND
    silence.set()


def test_some_look_ups_are_kept_for_brands_that_have_none(silence: threading.Event) -> None:
    """However many brands have their shares taken by names that never answer; what is said then is not of its own."""
    lookups, taken = Lookups(), (MOST - KEPT) // MOST_A_BRAND

    async def everything() -> None:
        brands = [brand for brand in (uuid4() for _ in range(taken)) for _ in range(MOST_A_BRAND)]
        never = (lookups.find("silent.example", 0, brand, limit=0.05) for brand in brands)
        assert {type(one) for one in await asyncio.gather(*never, return_exceptions=True)} == {TimeoutError}
        latest = uuid4()
        with pytest.raises(TimeoutError):
            await lookups.find("silent.example", 0, latest, limit=0.05)
        with pytest.raises(NoLookupLeft, match="of all brands"):
            await lookups.find("example.com", 0, latest)
        assert await lookups.find("example.com", 0, uuid4(), limit=PATIENCE_SECONDS / 2) == ["93.184.216.34"]

    asyncio.run(everything())
    silence.set()


def test_a_share_is_free_again_when_a_look_up_ends(silence: threading.Event) -> None:
    lookups, ours = Lookups(most=1), uuid4()
    with pytest.raises(TimeoutError):
        asyncio.run(lookups.find("silent.example", 0, ours, limit=0.05))
    silence.set()

    def is_free() -> bool:
        try:
            return asyncio.run(lookups.find("example.com", 0, ours)) == ["93.184.216.34"]
        except TooManyLookups:
            return False

    eventually(is_free)


def test_a_name_that_turns_inside_is_refused_at_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By turns inside and outside: what is connected to is what was checked, and one address inside refuses all."""
    turns = iter(["93.184.216.34", "10.0.0.1", "93.184.216.34"])
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(turns), 0))]
    )
    url = addresses.parse("https://turns.example/", sandbox=False)
    assert asyncio.run(addresses.resolve(url, sandbox=False)) == ["93.184.216.34"]
    with pytest.raises(addresses.AddressRefused):
        asyncio.run(addresses.resolve(url, sandbox=False))
    assert asyncio.run(addresses.resolve(url, sandbox=False)) == ["93.184.216.34"]


def test_a_share_is_an_owners() -> None:
    """What one holds is not taken from another."""
    shares, ours, theirs = Shares(1), uuid4(), uuid4()
    with shares.of(ours) as first, shares.of(ours) as second, shares.of(theirs) as other:
        assert (first, second, other) == (True, False, True)
    with shares.of(ours) as again:
        assert again


def test_what_takes_long_has_its_share_of_the_threads() -> None:
    """Of a brand four at once, of all brands eight: half of the threads are for everybody else."""
    assert heavy.MOST * 2 <= THREADS

    ours = uuid4()
    with ExitStack() as held:
        for _ in range(heavy.MOST_A_BRAND):
            held.enter_context(heavy.heavy(ours))
        with pytest.raises(heavy.HeavyLimit):
            held.enter_context(heavy.heavy(ours))
        for _ in range(heavy.MOST - heavy.MOST_A_BRAND):
            held.enter_context(heavy.heavy(uuid4()))
        with pytest.raises(heavy.HeavyLimit):
            held.enter_context(heavy.heavy(uuid4()))
    with heavy.heavy(ours):
        pass
