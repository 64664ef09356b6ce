"""Moving a sandbox clock takes no thread and no turn from others."""

import asyncio
import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from issuance.engine import sandbox_clock
from issuance.people import sessions
from issuance.tenancy import clock_moves
from issuance.tenancy.shares import Shares
from tests.database.consoles import Ask, ask, signed_in

__all__ = ["ask"]


def test_moving_the_clock_takes_no_thread_from_others(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the workers for minutes: in the threads and within the share of those who move it over the API."""
    cookie, page = signed_in(engine, brand_id, "manager"), f"/console/{brand_id}/clock"
    form = {"form_token": sessions.form_token_of(cookie), "step": "day"}
    monkeypatch.setattr(clock_moves, "_of_a_brand", Shares(0))
    refused = ask()(page, "192.0.2.1", "POST", form, cookie=cookie)
    assert refused.status_code == 429
    assert "moving this brand" in refused.text


def test_nobody_waits_for_a_thread_to_move_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where so many brands' moves have all of them, the next is told so at once."""
    monkeypatch.setattr(clock_moves, "_of_a_brand", Shares(2))
    monkeypatch.setattr(clock_moves, "_of_all", Shares(3))
    end = threading.Event()

    async def moved() -> list[str]:
        waiting = [asyncio.create_task(clock_moves.apart(brand, lambda: end.wait(30))) for brand in brands]
        async with asyncio.timeout(20):
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == 1
            end.set()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        return [type(answer).__name__ for answer in answers]

    one, other, third = (uuid4() for _ in range(3))
    brands = [one, one, other, third]
    assert asyncio.run(moved()) == ["bool", "bool", "bool", "MoveLimit"]


def test_moves_of_one_brand_leave_others_their_turns() -> None:
    """They wait for locks meanwhile, and each other brand's move needs a turn too."""
    brand, has_one, end = uuid4(), threading.Event(), threading.Event()

    def takes() -> None:
        with sandbox_clock._turn(brand):
            has_one.set()
            assert end.wait(30)

    threads = [threading.Thread(target=takes, daemon=True) for _ in range(sandbox_clock.MOST_AT_ONCE + 1)]
    for thread in threads:
        thread.start()
    assert has_one.wait(30)
    got = threading.Event()

    def other() -> None:
        with sandbox_clock._turn(uuid4()):
            got.set()

    another = threading.Thread(target=other, daemon=True)
    another.start()
    assert got.wait(10)
    end.set()
    for thread in [*threads, another]:
        thread.join(30)
