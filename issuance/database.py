"""The way to PostgreSQL: one engine a process, one transaction a unit of work, committed at the edge."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Connection, Engine, create_engine, text

#: Nothing that Issuance does in one statement takes longer on a healthy server. Limits in PostgreSQL,
#: not in threads: an exception thrown into a thread can hang a worker for good.
STATEMENT_TIMEOUT = "120s"
LOCK_TIMEOUT = "30s"
#: A process that stopped answering in the middle of a transaction gives its locks back after this.
IDLE_TIMEOUT = "30s"


@lru_cache(maxsize=4)
def engine_for(url: str) -> Engine:
    """The process's engine for `url` (a `postgresql+psycopg://` address). Connections are checked before use."""
    options = " ".join(
        f"-c {name}={value}"
        for name, value in {
            "timezone": "UTC",
            "statement_timeout": STATEMENT_TIMEOUT,
            "lock_timeout": LOCK_TIMEOUT,
            "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
        }.items()
    )
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=40,
        connect_args={"options": options, "application_name": "issuance", "connect_timeout": 10},
    )


@contextmanager
def transaction(engine: Engine, brand_id: UUID | None = None) -> Iterator[Connection]:
    """One unit of work: commits at the end, rolls back on any exception.

    `brand_id` names the only brand whose rows the work may touch; None is for work that looks across
    brands (what is due, keys). The server sees it as the setting `issuance.brand_id`.
    """
    with engine.begin() as connection:
        if brand_id is not None:
            connection.execute(
                text("SELECT set_config('issuance.brand_id', :brand_id, true)"), {"brand_id": str(brand_id)}
            )
        yield connection
