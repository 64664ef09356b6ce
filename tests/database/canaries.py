"""A member of whom much is known, under names that are found wherever they are left."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from issuance import database
from issuance.billing import events
from issuance.laws import LAWS, look
from issuance.members import members, wallets
from issuance.members.profiles import MemberBody
from issuance.memberships import archiving, forgetting
from tests.database.clubs import Club
from tests.hooks import Hook, listen

ADA, EMAIL, NAME = "canary-id-7", "Canary.Mail@example.org", "Canary Loveless"
CANARIES = ("canary-id-7", "canary.mail", "canary loveless")
BOB = {"name": "Bob Other", "email": "bob@example.org", "external_user_id": "bob", "lead_booker": True}


class Story:
    """A club with a member of whom much is known: her own membership, and a place on Bob's order."""

    def __init__(self, club: Club) -> None:
        self.club = club
        self.own, self.bobs = uuid4(), uuid4()
        as_guest = {"name": NAME, "email": EMAIL, "external_user_id": ADA, "lead_booker": False}
        lead = {**as_guest, "lead_booker": True, "phone": "canary loveless' phone"}
        self.told = [
            self._event("membership.signed_up", self._signs_up(self.own, ADA, guests=[lead]), note=NAME),
            self._event("membership.signed_up", self._signs_up(self.bobs, "bob", guests=[BOB, as_guest])),
            # By her address alone, and then by her name alone: she is recognised.
            self._event(
                "membership.guests_changed", self._party(self.bobs, {"name": "Canary L.", "email": EMAIL.lower()}), "11"
            ),
            self._event("membership.guests_changed", self._party(self.bobs, {"name": "Canary L."}), "12"),
        ]
        self.take(*self.told)
        with self.work() as connection:
            profile = {"displayName": NAME, "email": EMAIL, "attributes": {"pet": "canary loveless"}}
            members.upsert(connection, club.brand_id, ADA, MemberBody.model_validate(profile))
            wallets.credit(connection, club.brand_id, ADA, 30, f"for {NAME}")
        club.settle([self.own, self.bobs])

    def work(self) -> Any:
        return database.transaction(self.club.engine, self.club.brand_id)

    def _event(self, kind: str, data: dict[str, Any], hour: str = "10", **more: Any) -> dict[str, Any]:
        envelope = {"specversion": "1.0", "source": "test", "id": str(uuid4()), "type": kind}
        return {**envelope, "time": f"2031-01-31T{hour}:00:00Z", "data": {**data, **more}}

    def _signs_up(self, membership_id: UUID, who: str, **more: Any) -> dict[str, Any]:
        said = {"membership_type_id": str(self.club.type_id), "starts_on": "2031-01-31"}
        return {"membership_id": str(membership_id), "external_user_id": who, **said, **more}

    def _party(self, membership_id: UUID, *others: dict[str, Any]) -> dict[str, Any]:
        return {
            "membership_id": str(membership_id),
            "guests": [BOB, *({**one, "lead_booker": False} for one in others)],
        }

    def take(self, *bodies: object) -> events.Intake:
        with self.work() as connection:
            return events.accept(connection, self.club.brand_id, bodies)

    def archive(self) -> None:
        with self.work() as connection:
            removed = archiving.archive(connection, self.club.brand_id, ADA, retain_balance=False)
        self.club.settle([*removed.membership_ids, self.own, self.bobs])

    def erase(self) -> forgetting.Erasure:
        with self.work() as connection:
            erasure = forgetting.erase(connection, self.club.brand_id, ADA)
        self.club.settle(erasure.membership_ids)
        return erasure

    def credits(self) -> list[Any]:
        return self.club.rows("SELECT * FROM credits ORDER BY credit_id")

    def broken(self) -> dict[int, Any]:
        with self.work() as connection:
            found: dict[int, Any] = {}
            for step in look(connection, self.club.brand_id, LAWS):
                for number, offenders in step.items():
                    found.setdefault(number, []).extend(offenders)
            return {number: offenders for number, offenders in found.items() if offenders}

    def dump(self) -> str:
        """All that is in the database, as text."""
        with self.club.engine.connect() as connection:
            database.show(connection, None)
            tables = connection.scalars(text(
                "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
            )).all()  # fmt: skip
            said = []
            for table in tables:
                rows = connection.execute(text(f"SELECT CAST(t AS text) FROM {table} t"))
                said += [f"{table}: {row[0]}" for row in rows]
            bytes_too = connection.scalars(text(
                "SELECT encode(body, 'escape') FROM idempotency_keys UNION ALL "
                "SELECT encode(body, 'escape') FROM biller_deliveries"
            ))  # fmt: skip
            return "\n".join([*said, *map(str, bytes_too)]).lower()

    def left(self) -> list[str]:
        return [line[:300] for line in self.dump().splitlines() if any(canary in line for canary in CANARIES)]


@pytest.fixture
def story(club: Club) -> Story:
    return Story(club)


@pytest.fixture
def told(story: Story, receiver: Any) -> Hook:
    return listen(story.club.engine, story.club.brand_id, receiver)
