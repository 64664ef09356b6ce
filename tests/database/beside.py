"""What is done at the same time: in threads of its own, beside a lock that is held, in the midst of a settling."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.pipeline import Settling
from issuance.engine.tasks import Meant
from tests.database.clubs import Club
from tests.waiting import PATIENCE_SECONDS, eventually

_WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
_HOLD = text("SELECT FROM schedules WHERE schedule_id = :id FOR UPDATE")
#: Settles a membership and does something in its midst, when all is read and nothing is written: whether that waits.
Amid = Callable[[UUID, Callable[[], object]], bool]


class Beside:
    """What is done in threads of its own, beside the test's."""

    def __init__(self, club: Club) -> None:
        self._club = club
        self._acting: list[threading.Thread] = []
        #: What ended so.
        self.errors: list[Exception] = []

    def begin(self, act: Callable[[], object]) -> bool:
        """Begin `act`, until it ends or has to wait for a lock: whether it has to."""
        waited = self._waiting()

        def do() -> None:
            try:
                act()
            except Exception as error:
                self.errors.append(error)

        acting = threading.Thread(target=do)
        self._acting.append(acting)
        acting.start()
        waits: list[bool] = []

        def ends_or_waits() -> bool:
            waits[:] = [acting.is_alive() and self._waiting() > waited]
            return waits[0] or not acting.is_alive()

        eventually(ends_or_waits, every=0.01)
        return waits[0]

    @contextmanager
    def held(self, schedule_id: UUID) -> Iterator[None]:
        """Somebody works on what waits by a schedule; at the end all that has begun comes to its end."""
        with transaction(self._club.engine, self._club.brand_id) as connection:
            connection.execute(_HOLD, {"id": schedule_id})
            yield
        self.end()

    @contextmanager
    def amid_a_settling(self, act: Callable[[], object]) -> Iterator[list[bool]]:
        """Whoever settles first does `act` in its midst, when all is read and nothing is written: whether that waits.
        At the end all that has begun comes to its end."""
        decide = Settling._decide
        waited: list[bool] = []

        def acting(settling: Settling, membership: Membership, meant: Meant) -> Outcome:
            outcome = decide(settling, membership, meant)
            if not waited:
                waited.append(False)  # what is settled beside comes here, too
                waited[0] = self.begin(act)
            return outcome

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Settling, "_decide", acting)
            yield waited
        self.end()

    def end(self) -> None:
        """See all of it to its end."""
        for acting in self._acting:
            acting.join(PATIENCE_SECONDS)
            assert not acting.is_alive()

    def _waiting(self) -> int:
        return len(self._club.rows(_WAITING))


@pytest.fixture
def beside(club: Club) -> Iterator[Beside]:
    beside = Beside(club)
    yield beside
    beside.end()


@pytest.fixture
def amid(club: Club, beside: Beside) -> Amid:
    def settle(membership_id: UUID, act: Callable[[], object]) -> bool:
        news = {"membership_id": str(membership_id), "status": "active"}
        club.tell("membership.status_changed", "2031-01-31T11:00", news)
        with beside.amid_a_settling(act) as waited:
            club.settle([membership_id])
        return waited[0]

    return settle
