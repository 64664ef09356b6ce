"""Which peers there are, what they need, and how each is started."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer import Peer, Product, Queue
from benchmarks.stage import Stage

#: Memberships that a peer is measured on at most: rates are compared, and an hour's wait tells no more.
MOST_MESSAGES, MOST_VOUCHERS = 2_000, 5_000

_ORM = ["sqlalchemy", "psycopg[binary]"]


class Pgqueuer(Queue):
    """The queue is in the database: its tables come first."""

    scheme = "postgresql://"

    def more(self) -> None:
        self.run([str(self.programs / "pgq"), "--pg-dsn", self.url, "install"])


def _dramatiq(programs: Path) -> Sequence[Sequence[str]]:
    return [[str(programs / "dramatiq"), "benchmarks.peers.dramatiq_orm", "--processes", "2"]]


def _celery(programs: Path) -> Sequence[Sequence[str]]:
    told = ["worker", "--concurrency", "2", "--loglevel", "warning"]
    return [[str(programs / "celery"), "--app", "benchmarks.peers.celery_orm", *told]]


def _pgqueuer(programs: Path) -> Sequence[Sequence[str]]:
    # Its own command line stumbles over its log level where a newer typer is installed.
    one = [str(programs / "python"), "-m", "benchmarks.peers.pgqueuer_plain", "work"]
    return [one, one]


def peers(stage: Stage, members: int) -> Sequence[Peer]:
    """All of them, on `members` memberships or as many as are enough."""
    messages, vouchers = min(members, MOST_MESSAGES), min(members, MOST_VOUCHERS)
    return [
        Queue(
            stage,
            "dramatiq_orm",
            "dramatiq + SQLAlchemy ORM, a message a membership",
            ["dramatiq[redis]", *_ORM],
            messages,
            _dramatiq,
        ),
        Queue(
            stage,
            "celery_orm",
            "Celery + SQLAlchemy ORM, a message a membership",
            ["celery[redis]", *_ORM],
            messages,
            _celery,
        ),
        Pgqueuer(
            stage,
            "pgqueuer_plain",
            "pgqueuer, plain SQL, a message a membership",
            ["pgqueuer", "asyncpg"],
            messages,
            _pgqueuer,
        ),
        Product(
            stage, "oscar", "django-oscar voucher set (issues only)", ["django-oscar", "psycopg[binary]"], messages
        ),
        Product(stage, "pretix", "pretix bulk vouchers (issues only)", ["pretix", "psycopg[binary]"], vouchers),
    ]
