"""The things a history is made of, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

SIGN_UP = "membership.signed_up"
#: Of equal times: first what is no charge's, then charges' facts so.
CHARGED = ("initiated", "failed", "skipped", "succeeded", "disputed", "refunded")


@dataclass(frozen=True)
class Fact:
    """One event: what happened (`kind`, `data`) and when (`time`); labels instead of ids."""

    id: str
    time: datetime
    kind: str
    membership: str
    data: dict[str, Any] = field(hash=False)
    source: str = "model"

    @property
    def order(self) -> tuple[datetime, int, str, str]:
        state = self.kind.removeprefix("charge.")
        return (self.time, CHARGED.index(state) + 1 if state != self.kind else 0, self.source, self.id)


@dataclass(frozen=True)
class Version:
    """`created`: when it counts as created; `made`: when it was."""

    number: int
    created: datetime
    made: datetime
    include_upcoming: bool
    deleted: bool
    membership_type: str
    coupon: str
    roll_over: bool
    issue_on_signup: bool
    multi_use: bool
    for_lead_booker_only: bool
    issuing_frequency: str
    roll_over_limit: int | None = None
    max_uses: int | None = None


@dataclass(frozen=True)
class Guest:
    """An entry of a list of guests. `by_id`: it has the `guest_id` that stands for `label` (its name, unless told)."""

    name: str
    lead_booker: bool
    known_as: str | None = None
    by_id: bool = True
    email: str | None = None
    external_user_id: str | None = None

    @property
    def label(self) -> str:
        return self.known_as or self.name


@dataclass
class Credit:
    """An issued credit. `revoked` is None, "facts" (a later fact can bring it back), "operator"
    (a person can), or "archiving" (final)."""

    rule: str
    membership: str
    guest: str
    period_start: date
    period_end: date | None
    reissue: int
    valid_from: datetime
    expires_at: datetime | None
    coupon_end: datetime | None
    version: Version
    manual: bool
    issued_at: datetime
    turn: date
    uses: int = 0
    redeemed: bool = False
    #: When it was last used, where that used it up.
    used_up_at: datetime | None = None
    revoked: str | None = None
    #: Since when, whoever said so since.
    revoked_at: datetime | None = None
    #: The coupon's validity counts from the period's start, not from `valid_from`.
    from_start: bool = False
    #: Until when a person extended it; and who holds it, where that is not the guest.
    extended_to: datetime | None = None
    holder: str | None = None
    #: An undo found it redeemed: a use that is cancelled does not give it back.
    undone: bool = False
    #: It was used for a turn that gives nothing any more.
    flagged: bool = False
    #: It had expired when its member was removed, or when what issued it was undone: it does not live again.
    over: bool = False

    @property
    def key(self) -> tuple[str, str, str, date, int]:
        return (self.rule, self.membership, self.guest, self.period_start, self.reissue)

    def revoke(self, by: str, now: datetime) -> None:
        if self.revoked is None:
            self.revoked_at = now
        self.revoked = by

    def status(self, now: datetime) -> str:
        if self.redeemed:
            return "redeemed"
        if self.revoked:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "upcoming" if now < self.valid_from else "live"


#: In place of the rule of a grant, which is under none, and of its period's start.
GRANT, NO_PERIOD = "grant", date.min


@dataclass(frozen=True)
class Op:
    """One step of a history; `args` as the step's name needs them (see `driver` and `world`)."""

    name: str
    args: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        if self.name == "post":
            return "\n".join(_line(fact) for fact in self.args["facts"])
        return f"{self.name:13} " + " ".join(f"{key}={_text(value)}" for key, value in self.args.items())


def _line(fact: Fact) -> str:
    data = " ".join(f"{key}={_text(value)}" for key, value in fact.data.items())
    return f"post          {fact.kind} {fact.membership} at {fact.time:%Y-%m-%d %H:%M:%S}Z [{fact.id}] {data}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, list):
        return "[" + ", ".join(_entry(each) if isinstance(each, Guest) else str(each) for each in value) + "]"
    return str(value)


def _entry(guest: Guest) -> str:
    known = [guest.label if guest.by_id else "no id", guest.email, guest.external_user_id]
    told = "/".join(each for each in known if each and each != guest.name)
    return f"{guest.name}{'*' if guest.lead_booker else ''}" + (f" ({told})" if told else "")
