"""What the desk asks for: credits are revoked, extended, transferred, reinstated, granted (SEMANTICS 15)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from campaigns.model.words import Credit
from campaigns.simulation.processes import Fault
from campaigns.simulation.till import Till
from issuance import hints
from issuance.corrections import desk
from issuance.corrections.wanted import Correction, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.errors import IssuanceError

_REASON = "model"


class Desk(Till):
    """Who corrects one credit at a time: the `pick`-th of those that can be. Of a removed member it only revokes."""

    def revoke(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        found = self.oracle.with_status("live", "upcoming")
        if found:
            credit = found[pick % len(found)]

            def happened(_: Any) -> None:
                status = credit.status(self.oracle.now)
                assert status in ("live", "upcoming"), f"revoke of what is {status}"
                credit.revoke("operator", self.oracle.now)

            self._correct(Revoke(self._code(credit), _REASON), happened, fault, rest)

    def extend(self, pick: int, days: int, fault: Fault | None = None, rest: int = 0) -> None:
        found = [one for one in self._held("live", "upcoming", "expired") if one.expires_at is not None]
        if found:
            credit = found[pick % len(found)]
            assert credit.expires_at is not None, "it was asked for"
            until = max(credit.expires_at, self.oracle.now) + timedelta(days=days)

            def happened(_: Any) -> None:
                credit.expires_at, credit.extended_to, credit.over = until, until, False
                self.oracle.settle_one(credit.membership)  # one that lives again is what the facts make of it

            self._correct(Extend(self._code(credit), until, _REASON), happened, fault, rest)

    def transfer(self, pick: int, to: int, fault: Fault | None = None, rest: int = 0) -> None:
        found = self._held("live")
        if found:
            credit = found[pick % len(found)]
            reading = self.oracle.reading(credit.membership)
            assert reading is not None, "who has a credit has signed up"
            here = [one.label for one in reading.party(self.oracle.now)]
            others = [label for label in here if label != (credit.holder or credit.guest) and label in self.ids]
            if others:
                holder = others[to % len(others)]

                def happened(_: Any) -> None:
                    credit.holder = holder

                self._correct(Transfer(self._code(credit), _REASON, self.id(holder)), happened, fault, rest)

    def reinstate(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        found = [
            one
            for one in self._held("revoked")
            if one.revoked == "operator" and (one.expires_at is None or one.expires_at > self.oracle.now)
        ]
        if found:
            credit = found[pick % len(found)]

            def happened(_: Any) -> None:
                credit.revoked = None

            self._correct(Reinstate(self._code(credit), _REASON), happened, fault, rest)

    def grant(self, pick: int, coupon: str, fault: Fault | None = None, rest: int = 0) -> None:
        readings = [one for one in self.oracle.readings() if one.membership not in self.oracle.archived]
        if readings:
            membership = readings[pick % len(readings)].membership

            def happened(_: Any) -> None:
                self.oracle.grant_to(membership, coupon)

            self._correct(Grant(self.id(membership), coupon, _REASON), happened, fault, rest)

    def _held(self, *statuses: str) -> list[Credit]:
        return [one for one in self.oracle.with_status(*statuses) if one.membership not in self.oracle.archived]

    def _correct(self, wanted: Correction, happened: Callable[[Any], None], fault: Fault | None, rest: int) -> None:
        process = self.request(
            type(wanted).__name__.lower(),
            lambda connection: desk.correct(connection, self.brand_id, wanted),
            happened,
            lambda answer: hints.settle(self.queue, self.brand_id, answer[1]),
            fault,
            rest,
        )
        if isinstance(process.error, IssuanceError) and not rest:
            raise AssertionError(f"refused: {wanted}: {process.error}")
