"""What is asked for while a brand is being settled is settled in one go after that (worker/backlog.py)."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from uuid import UUID, uuid4

import pytest

from tests.waiting import PATIENCE_SECONDS
from worker.backlog import Backlog

BRAND, OTHER = uuid4(), uuid4()
FIRST, SECOND, THIRD = uuid4(), uuid4(), uuid4()


class Settling:
    """Notes what it settles, and in which goes. The one with FIRST takes until the test lets it end."""

    def __init__(self) -> None:
        self.settled: list[tuple[UUID, list[UUID]]] = []
        self.failing: set[UUID] = set()
        self.began, self.may_end = Event(), Event()

    def __call__(self, brand_id: UUID, membership_ids: list[UUID]) -> None:
        self.settled.append((brand_id, membership_ids))
        if FIRST in membership_ids:
            self.began.set()
            assert self.may_end.wait(PATIENCE_SECONDS)
        if self.failing & {*membership_ids}:
            raise ConnectionError


@pytest.fixture
def settling() -> Settling:
    return Settling()


@pytest.fixture
def ask(settling: Settling, request: pytest.FixtureRequest) -> Iterator[Callable[..., "Future[None]"]]:
    """Asks in a thread of its own. A parameter has sizes of the backlog."""
    asked = Backlog(settling, **getattr(request, "param", {}))
    with ThreadPoolExecutor(4) as pool:
        yield lambda brand_id, *ids: pool.submit(asked.ask, brand_id, ids)
        settling.may_end.set()


def test_what_is_asked_for_meanwhile_is_settled_in_one_go(
    settling: Settling, ask: Callable[..., "Future[None]"]
) -> None:
    """By the thread that is at it already; who asks is free to hear of more. Asked for twice, it is settled once."""
    first = ask(BRAND, FIRST)
    assert settling.began.wait(PATIENCE_SECONDS)
    for asked in [(SECOND,), (THIRD, SECOND)]:
        ask(BRAND, *asked).result(PATIENCE_SECONDS)
    settling.may_end.set()
    first.result(PATIENCE_SECONDS)
    assert settling.settled == [(BRAND, [FIRST]), (BRAND, [SECOND, THIRD])]


def test_who_is_being_settled_and_asked_for_again_is_settled_again(
    settling: Settling, ask: Callable[..., "Future[None]"]
) -> None:
    """The settling under way may not have seen what was committed since it began."""
    first = ask(BRAND, FIRST)
    assert settling.began.wait(PATIENCE_SECONDS)
    ask(BRAND, FIRST).result(PATIENCE_SECONDS)
    settling.may_end.set()
    first.result(PATIENCE_SECONDS)
    assert settling.settled == [(BRAND, [FIRST]), (BRAND, [FIRST])]


def test_another_brand_does_not_wait(settling: Settling, ask: Callable[..., "Future[None]"]) -> None:
    """It is settled beside one that takes long."""
    first = ask(BRAND, FIRST)
    assert settling.began.wait(PATIENCE_SECONDS)
    ask(OTHER, SECOND).result(PATIENCE_SECONDS)
    assert settling.settled == [(BRAND, [FIRST]), (OTHER, [SECOND])]
    settling.may_end.set()
    first.result(PATIENCE_SECONDS)


def test_a_failure_leaves_what_was_asked_for_meanwhile(settling: Settling, ask: Callable[..., "Future[None]"]) -> None:
    """The thread goes on with it."""
    settling.failing = {FIRST}
    first = ask(BRAND, FIRST)
    assert settling.began.wait(PATIENCE_SECONDS)
    ask(BRAND, SECOND).result(PATIENCE_SECONDS)
    settling.may_end.set()
    first.result(PATIENCE_SECONDS)
    assert settling.settled == [(BRAND, [FIRST]), (BRAND, [SECOND])]


@pytest.mark.parametrize("ask", [{"room": 1}], indirect=True)
def test_what_waits_in_memory_is_bounded_and_no_thread_waits(
    settling: Settling, ask: Callable[..., "Future[None]"]
) -> None:
    """However many hints come of one brand, the threads are free for others. What there is no room for the scheduler
    asks for again."""
    first = ask(BRAND, FIRST)
    assert settling.began.wait(PATIENCE_SECONDS)
    for one in (SECOND, *(uuid4() for _ in range(6)), SECOND):
        ask(BRAND, one).result(PATIENCE_SECONDS)
    ask(OTHER, THIRD).result(PATIENCE_SECONDS)
    settling.may_end.set()
    first.result(PATIENCE_SECONDS)
    assert settling.settled == [(BRAND, [FIRST]), (OTHER, [THIRD]), (BRAND, [SECOND])]


@pytest.mark.parametrize("ask", [{"at_once": 2}], indirect=True)
def test_what_is_settled_in_one_go_is_bounded(settling: Settling, ask: Callable[..., "Future[None]"]) -> None:
    """Nobody knows yet how long so many take."""
    first = ask(BRAND, FIRST)
    assert settling.began.wait(PATIENCE_SECONDS)
    more = [uuid4() for _ in range(3)]
    ask(BRAND, *more).result(PATIENCE_SECONDS)
    settling.may_end.set()
    first.result(PATIENCE_SECONDS)
    assert settling.settled == [(BRAND, [FIRST]), (BRAND, more[:2]), (BRAND, more[2:])]


@pytest.mark.parametrize(
    ("seconds_each", "goes"),
    [
        pytest.param(0.01, [2, 4, 8, 16, 32, 38], id="quick: twice as many each time, as long as that takes no longer"),
        pytest.param(0.05, [2, 4, 8, 10, 10, 10, 10, 10, 10, 10, 10, 6], id="as many as are done in half a second"),
        pytest.param(1.0, [2] * 50, id="slow: no more than at first"),
    ],
)
def test_as_many_are_settled_in_one_go_as_are_done_soon(seconds_each: float, goes: list[int]) -> None:
    """On a billing day what is alike is settled by the thousand; what takes long keeps nobody waiting for all of it."""
    now, settled = 0.0, []

    def settle(brand_id: UUID, membership_ids: list[UUID]) -> None:
        nonlocal now
        settled.append(len(membership_ids))
        now += len(membership_ids) * seconds_each

    Backlog(settle, at_once=2, seconds=lambda: now).ask(BRAND, [uuid4() for _ in range(100)])
    assert settled == goes


def test_a_go_that_fails_is_followed_by_small_ones() -> None:
    """Whatever was wrong is met again by few."""
    settled: list[int] = []

    def settle(brand_id: UUID, membership_ids: list[UUID]) -> None:
        settled.append(len(membership_ids))
        if len(settled) == 3:
            raise ConnectionError

    Backlog(settle, at_once=2, seconds=lambda: 0.0).ask(BRAND, [uuid4() for _ in range(20)])
    assert settled == [2, 4, 8, 2, 4]
