"""What a process works on at once is shared out between those who ask: nobody waits behind all that another asked."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest

from issuance.api import idempotency
from issuance.tenancy import fairness
from issuance.tenancy.fairness import Fair, Gone, TooManyAtOnce, TooManyWaiting, until_gone
from issuance.tenancy.idempotency import Key


class Time:
    """Passes when it is told to: else a busy machine makes every request one that takes long."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(fairness, "monotonic", time)
    return time


class Desk:
    """Some who ask for places, and who has got one, in their order."""

    def __init__(self, most: int, computing: bool) -> None:
        self.fair = Fair(most, computing=computing)
        self.working: list[Hashable] = []
        self._ends: dict[Hashable, list[asyncio.Event]] = {}
        self._asked: list[asyncio.Task[None]] = []

    async def ask(self, owner: Hashable, times: int = 1) -> list[asyncio.Task[None]]:
        new = [asyncio.create_task(self._work(owner)) for _ in range(times)]
        self._asked += new
        await asyncio.sleep(0)
        return new

    async def end(self, owner: Hashable) -> None:
        """One of an owner's is done."""
        self._ends[owner].pop(0).set()
        for _ in range(3):
            await asyncio.sleep(0)

    async def end_all(self) -> None:
        while self.working:
            await self.end(self.working[0])
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def _work(self, owner: Hashable) -> None:
        async with self.fair.place(owner):
            self.working.append(owner)
            over = asyncio.Event()
            self._ends.setdefault(owner, []).append(over)
            await over.wait()
            self.working.remove(owner)


Scene = Callable[[Desk], Coroutine[Any, Any, None]]


def played(scene: Scene, most: int = 8, *, computing: bool = False) -> None:
    async def play() -> None:
        desk = Desk(most, computing)
        await scene(desk)
        await desk.end_all()
        assert desk.fair._waiting == {}
        assert desk.fair._working.total() == 0

    asyncio.run(play())


def test_who_asks_for_much_leaves_places_for_who_comes() -> None:
    """Alone one may have three quarters; somebody else is worked on at once, whoever else waits."""

    async def scene(desk: Desk) -> None:
        await desk.ask("flood", 100)
        assert desk.working == ["flood"] * 6
        await desk.ask("till")
        assert desk.working.count("till") == 1

    played(scene)


def test_while_others_are_about_nobody_has_more_than_a_share() -> None:
    async def scene(desk: Desk) -> None:
        await desk.ask("flood", 100)
        await desk.ask("till")
        await desk.end("till")
        for _ in range(6):
            await desk.end("flood")
        assert desk.working == ["flood"] * 4

    played(scene)


def test_whose_requests_take_long_have_one_at_a_time(time: Time) -> None:
    """While somebody else is about; and as many as others again, once they do not."""

    async def scene(desk: Desk) -> None:
        await desk.ask("flood", 100)
        time.now += 1.0
        for _ in range(6):
            await desk.ask("till")
            await desk.end("till")
            await desk.end("flood")
        assert desk.working.count("flood") == 1
        for _ in range(12):
            await desk.ask("till")
            await desk.end("till")
            await desk.end("flood")
        assert desk.working.count("flood") == 4

    played(scene)


def test_who_is_alone_again_has_its_places_back(time: Time) -> None:
    async def scene(desk: Desk) -> None:
        await desk.ask("till")
        await desk.ask("flood", 100)
        await desk.end("till")
        assert desk.working == ["flood"] * 4
        time.now += fairness.ABOUT + 0.1
        await desk.ask("flood")
        await desk.end("flood")
        assert desk.working == ["flood"] * 6

    played(scene)


def test_where_the_processor_is_needed_each_has_one_at_a_time() -> None:
    """While others are about: more threads of one would delay theirs, and be done no sooner."""

    async def scene(desk: Desk) -> None:
        await desk.ask("flood", 100)
        assert desk.working == ["flood"] * 6
        await desk.ask("till")
        await desk.end("till")
        for _ in range(6):
            await desk.end("flood")
        assert desk.working == ["flood"]

    played(scene, computing=True)


def test_who_waits_behind_what_takes_long_is_worked_on_beside_it(time: Time) -> None:
    """Once it is known to take long, though nobody else ends or comes."""

    async def scene(desk: Desk) -> None:
        await desk.ask("neighbour")
        await desk.ask("report")
        await desk.ask("report")
        assert desk.working == ["neighbour", "report"]
        time.now += 2 * fairness.LONG
        await asyncio.sleep(3 * fairness.LONG)
        assert desk.working == ["neighbour", "report", "report"]

    played(scene, computing=True)


def test_who_takes_most_of_the_time_rests_after_a_request(time: Time) -> None:
    """For as long as it took; whoever takes less does not. Who waits meanwhile is worked on once the rest is over."""

    async def scene(desk: Desk) -> None:
        await desk.ask("flood", 3)
        time.now += 3 * fairness.WORTH_A_REST
        await desk.ask("till", 2)
        await desk.end("flood")
        await desk.end("flood")
        time.now += fairness.WORTH_A_REST
        await desk.end("till")
        assert desk.working == ["till"]
        await asyncio.sleep(4 * fairness.WORTH_A_REST)
        assert desk.working == ["till", "flood"]

    played(scene, most=4, computing=True)


def test_who_is_alone_does_not_rest(time: Time) -> None:
    async def scene(desk: Desk) -> None:
        await desk.ask("flood", 100)
        time.now += 1.0
        await desk.end("flood")
        assert desk.working == ["flood"] * 6

    played(scene, computing=True)


def test_who_has_the_fewest_is_next() -> None:
    """However long the others have waited; the last places are left for who has nothing under way."""

    async def scene(desk: Desk) -> None:
        for owner in "abcd":
            await desk.ask(owner, 20)
        assert len(desk.working) == 8
        await desk.ask("till")
        for _ in "cd+":
            await desk.end("a")
        assert sorted(map(str, desk.working)) == ["a", "a", "a", "b", "c", "d", "till"]
        await desk.end("a")
        assert sorted(map(str, desk.working)) == ["a", "a", "b", "c", "d", "till"]

    played(scene)


def test_two_who_ask_for_much_leave_places_for_who_comes() -> None:
    """And four do: nobody is kept out by few, however long theirs take."""

    async def scene(desk: Desk) -> None:
        for owner in ("flood", "another"):
            await desk.ask(owner, 100)
        for owner in ("till", "and its neighbour"):
            await desk.ask(owner)
            await desk.end(owner)
        for owner in ("flood",) * 6 + ("another",) * 3:
            await desk.end(owner)
        assert desk.working.count("flood") + desk.working.count("another") == 6
        await desk.ask("till")
        assert desk.working.count("till") == 1

    played(scene)


def test_whose_request_is_taking_long_has_one_beside_it(time: Time) -> None:
    """While somebody else is about: not as many as it takes to fill its share, and the brand's quick ones go on."""

    async def scene(desk: Desk) -> None:
        await desk.ask("report")
        time.now += 2 * fairness.LONG
        await desk.ask("till")
        await desk.ask("report", 20)
        assert desk.working.count("report") == 2
        await desk.end("till")
        assert desk.working.count("report") == 2
        time.now += fairness.ABOUT
        await desk.end("report")
        assert desk.working.count("report") == 6

    played(scene)


def test_who_does_not_wait_any_more_holds_nothing() -> None:
    """Neither a place, nor one in the row; and one that was given at that very moment is given on."""

    async def scene(desk: Desk) -> None:
        await desk.ask("one", 1)
        (waits, given, last) = await desk.ask("one", 3)
        waits.cancel()
        await asyncio.sleep(0)
        desk._ends["one"].pop(0).set()
        await asyncio.sleep(0)  # its place is given on with this
        given.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert desk.working == ["one"]
        assert not last.done()

    played(scene, most=1)


def test_a_place_is_wanted_by_who_has_fewer() -> None:
    """Not by who has as many, and not by one's own."""

    async def scene(desk: Desk) -> None:
        await desk.ask("one")
        await desk.ask("another")
        assert len(desk.working) == 2
        (waits,) = await desk.ask("one")
        assert not desk.fair.is_wanted("one")
        waits.cancel()
        await desk.ask("till")
        assert desk.fair.is_wanted("one")
        assert desk.fair.is_wanted("another")
        await desk.end("one")
        assert desk.working == ["another", "till"]
        assert not desk.fair.is_wanted("another")

    played(scene, most=2)


def test_who_is_gone_is_dropped_before_its_turn() -> None:
    """What they asked for is never begun, and who asked after them is next; what has begun goes on."""

    async def scene(desk: Desk) -> None:
        left = asyncio.Event()

        async def gone() -> None:
            await left.wait()

        until_gone.set(gone)
        await desk.ask("begun")
        (dropped,) = await desk.ask("gone")
        until_gone.set(None)
        await desk.ask("waits")
        left.set()
        with pytest.raises(Gone):
            await dropped
        assert desk.working == ["begun"]
        await desk.end("begun")
        assert desk.working == ["waits"]

    played(scene, most=1)


def test_nobody_waits_for_ever() -> None:
    """Who does not get their turn in time is told that it was too much at once, and holds nothing."""

    async def scene(desk: Desk) -> None:
        desk.fair = Fair(1, patience=0.05)
        (_, late) = await desk.ask("flood", 2)
        with pytest.raises(TooManyAtOnce):
            await late
        assert desk.working == ["flood"]

    played(scene, most=1)


def test_only_so_many_of_an_owner_wait() -> None:
    """One more is refused at once, by name; others have their own, and who has left makes room."""

    async def scene(desk: Desk) -> None:
        desk.fair = Fair(1, most_waiting=3)
        (begun, *waiting) = await desk.ask("flood", 4)
        (refused,) = await desk.ask("flood")
        with pytest.raises(TooManyWaiting):
            refused.result()
        (other,) = await desk.ask("till")
        waiting[0].cancel()
        await asyncio.sleep(0)
        (last,) = await desk.ask("flood")
        assert not any(one.done() for one in (begun, *waiting[1:], other, last))

    played(scene, most=1)


def test_the_limit_of_those_who_wait_is_named() -> None:
    assert str(fairness.MOST_WAITING) in TooManyWaiting().message


def test_only_so_many_of_a_brand_wait_for_idempotency_keys() -> None:
    """They hold no place meanwhile, so that places do not bound them. What waits for nobody goes on."""

    async def play() -> None:
        brand_id, other_brand_id = uuid4(), uuid4()

        async def repeat(name: str, brand_id: UUID = brand_id) -> None:
            async with idempotency._one_at_a_time(Key(brand_id, "key 1", name)):
                pass

        async with AsyncExitStack() as working:
            for key in (Key(brand_id, "key 1", "1"), Key(brand_id, "key 1", "2"), Key(other_brand_id, "key 1", "1")):
                await working.enter_async_context(idempotency._one_at_a_time(key))
            waiting = [asyncio.create_task(repeat("12"[n % 2])) for n in range(fairness.MOST_WAITING)]
            waiting.append(asyncio.create_task(repeat("1", other_brand_id)))
            await asyncio.sleep(0)
            with pytest.raises(TooManyWaiting):
                await repeat("2")
            await repeat("3")
        await asyncio.gather(*waiting)
        assert idempotency._waiting == {}

    asyncio.run(play())


def test_who_is_gone_is_dropped_behind_the_same_idempotency_key() -> None:
    """One request of a key at a time; one that waits for the other and is gone is never begun."""

    async def play() -> None:
        key, begun = Key(uuid4(), "key 1", "again"), []

        async def gone() -> None:
            pass

        async def repeat() -> None:
            until_gone.set(gone)
            async with idempotency._one_at_a_time(key):
                begun.append(key)

        async with idempotency._one_at_a_time(key):
            with pytest.raises(Gone):
                await asyncio.create_task(repeat())
        assert begun == []

    asyncio.run(play())
