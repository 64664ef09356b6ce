"""A membership as settling reads it: its facts and credits, and the ids that they leave out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from issuance.database.statements import Row
from issuance.deciding.charges import Charge
from issuance.deciding.facts import Credit, CreditKey, MembershipFacts
from issuance.deciding.history import History, Horizon
from issuance.engine.event_facts import Named
from issuance.engine.states import State


class Listed(NamedTuple):
    """What lists of memberships show of one, by the facts of the instant at which it was settled."""

    status: str
    ends_on: date | None
    membership_type_id: UUID
    starts_on: date
    #: That of the sign-up, or of a start that was moved.
    billing_anchor: date
    billing_frequency: str


@dataclass(slots=True)
class Membership:
    """A membership as it was loaded: its facts and credits, and the ids that they leave out."""

    membership_id: UUID
    facts: MembershipFacts
    #: How its last settling left it.
    state: State
    #: What lists have shown since then.
    listed: Listed
    credits: list[Credit] = field(default_factory=list)
    #: What facts and credits leave out; None if nothing.
    horizon: Horizon | None = None
    #: The events behind `facts.told`, in the same order.
    events: list[Row] = field(default_factory=list)
    #: The guests that they name.
    named: Named = field(default_factory=dict)
    #: By place.
    guest_ids: list[UUID] = field(default_factory=list)
    #: By number.
    charge_ids: dict[int, str] = field(default_factory=dict)
    credit_ids: dict[CreditKey, UUID] = field(default_factory=dict)
    #: The manual issue that asked for what a guard held back.
    asked_by: dict[CreditKey, UUID] = field(default_factory=dict)
    #: The place of each guest.
    places: dict[UUID, int] = field(default_factory=dict)

    @property
    def news(self) -> list[Row]:
        """The accepted events that no settling has seen yet."""
        return [event for event in self.events if event.is_news]

    def has_news(self, now: datetime) -> bool:
        """Whether a fact arrived, or one that was announced happened, since the last settling."""
        settled_at = self.state.settled_at
        return settled_at is None or any(event.is_news or settled_at < event.time <= now for event in self.events)

    def charge_id(self, charge: Charge) -> str:
        """The biller's id of a charge; of an automatic one, which has none, the membership and the date."""
        if charge.automatic:
            return f"{self.membership_id}/{charge.period_start}"
        return self.charge_ids[charge.number]

    @property
    def charge_numbers(self) -> dict[str, int]:
        """The number of each charge, by the biller's id."""
        return {charge_id: number for number, charge_id in self.charge_ids.items()}

    def history(self, now: datetime, credits: Sequence[Credit] | None = None) -> History:
        """What had happened by an instant, with the credits that are out then; None: those that were loaded."""
        return History(self.facts, self.credits if credits is None else credits, now, horizon=self.horizon)
