"""The job of one message as an application with SQLAlchemy's ORM does it: look, mark the old credit, add the new."""

import os
import secrets
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, Table, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Session

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

engine: Engine = create_engine(os.environ["PEER_DATABASE_URL"])


class Base(DeclarativeBase):
    """The tables as they are in the database."""


class Guest(Base):
    __table__ = Table("guests", Base.metadata, autoload_with=engine)


class Credit(Base):
    # The plain table: a foreign key a row, as an application has it.
    __table__ = Table("plain_credits", Base.metadata, autoload_with=engine)


# A process that is forked from this one must not share its connections.
engine.dispose()


def memberships(first: int, last: int) -> list[str]:
    """The ids at these places of the order of all ids."""
    with Session(engine) as session:
        ids = select(Guest.membership_id).order_by(Guest.membership_id).slice(first, last)
        return [str(membership_id) for membership_id in session.scalars(ids)]


def settle(membership_id: str, start: str, end: str) -> None:
    """Give every guest of a membership the credit of the period, and expire last month's."""
    now = datetime.fromisoformat(f"{start}T00:00:00+00:00")
    until = datetime.fromisoformat(f"{end}T00:00:00+00:00")
    with Session(engine) as session:
        guests = session.scalars(select(Guest).where(Guest.membership_id == UUID(membership_id))).all()
        for guest in guests:
            of_guest = select(Credit).where(
                Credit.brand_id == guest.brand_id,
                Credit.membership_id == guest.membership_id,
                Credit.guest_id == guest.guest_id,
            )
            held = session.scalars(of_guest.where(Credit.expired_at.is_(None))).all()
            if any(credit.period_start == now.date() for credit in held):
                continue  # told twice
            for credit in held:
                credit.expired_at = now
            session.add(_credit(guest, now, until))
        session.commit()


def _credit(guest: Any, now: datetime, until: datetime) -> Credit:
    return Credit(
        **_terms(),
        brand_id=guest.brand_id,
        credit_id=uuid4(),
        code="".join(secrets.choice(_LETTERS) for _ in range(16)),
        membership_id=guest.membership_id,
        guest_id=guest.guest_id,
        period_start=now.date(),
        period_end=date(until.year, until.month, until.day),
        valid_from=now,
        expires_at=until,
        issued_at=now,
    )


@lru_cache(maxsize=1)
def _terms() -> dict[str, Any]:
    """What the rule says, read once a process."""
    names = ("credit_rule_id", "rule_version", "reissue", "coupon_id", "coupon_name", "roll_over", "multi_use")
    with Session(engine) as session:
        one = session.scalars(select(Credit).limit(1)).one()
        return {name: getattr(one, name) for name in (*names, "manual", "uses")}
