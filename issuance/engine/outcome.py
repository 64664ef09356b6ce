"""What settling a membership comes to: all that is to be written for it, and when to look again."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.decisions import Decision
from issuance.deciding.facts import Credit, CreditKey, Held, HeldState, RuleVersion
from issuance.deciding.movements import Movement, end_of, movements
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener, Reminder, next_reminder
from issuance.deciding.settlement import Change, NewCredit, Settlement
from issuance.engine.membership import Listed


@dataclass(slots=True)
class Outcome:
    """What settling came to: credits to insert and to change, and the state of the membership after it."""

    #: The last instant that was decided at.
    now: datetime
    #: Whether all that is known has been settled: `now` is the clock's, and nothing is left to do at it.
    complete: bool = True
    #: What lists of memberships are to show, or None if that does not change.
    listed: Listed | None = None
    due_at: datetime | None = None
    #: The charges, by number, that cover no billing date and no period of a rule.
    pay_for_nothing: frozenset[int] = frozenset()
    #: The credits that are out at the end, by key, the new ones among them.
    credits: dict[CreditKey, Credit] = field(default_factory=dict)
    #: Those that are new, with the version that decided.
    issued: dict[CreditKey, RuleVersion] = field(default_factory=dict)
    #: Those that were out before and change: as loaded, as they become, and why they were revoked if they were.
    changed: dict[CreditKey, Change] = field(default_factory=dict)
    #: Movements that the credits' columns will not say, by key; to be journaled.
    moved: dict[CreditKey, list[Movement]] = field(default_factory=dict)
    #: Why facts revoked a credit that is new.
    revoked_because: dict[CreditKey, Reason] = field(default_factory=dict)
    counts: Counter[Reason] = field(default_factory=Counter)
    #: The new ones that a manual run only settled: it does not count them, and they do not name it.
    only_settled: frozenset[CreditKey] = frozenset()
    #: Those of the new ones that a person let out: no guard is asked about them.
    let_out: set[CreditKey] = field(default_factory=set)
    #: The credits that a guard holds back now, and the keys of held ones that are not owed any more.
    held: set[Held] = field(default_factory=set)
    lapsed: set[CreditKey] = field(default_factory=set)
    #: The key of the owed credit with which a manual one that is held for a former start is one, by the key of that.
    joined: dict[CreditKey, CreditKey] = field(default_factory=dict)
    #: The reminders to tell, of credits that expire soon.
    reminders: list[Reminder] = field(default_factory=list)
    #: The new decisions that give nothing.
    skipped: list[Decision] = field(default_factory=list)
    #: All that later decisions depend on until there is news, or None if the membership must be decided by itself.
    fingerprint: UUID | None = None

    @property
    def only_issues_and_expires(self) -> bool:
        """Whether it only issues and expires, and expires a period's credits of all guests at one instant.

        Such an outcome holds for all memberships of the fingerprint, also for those that have used credits since:
        expiring passes over a redeemed credit."""
        fates: dict[tuple[UUID, date, int], set[datetime | None]] = {}
        for key, change in self.changed.items():
            if not is_expiry(change):
                return False
            fates.setdefault(_of_period(key), set()).add(change.after.expired_at)
        for key, credit in self.credits.items():
            if credit.is_open and _of_period(key) in fates:  # P0D gives a later guest one of the same period
                return False
        return all(len(expired_at) == 1 for expired_at in fates.values())

    @property
    def gives(self) -> bool:
        """Whether it issues anything, or would if no guard held it back."""
        return bool(self.issued or self.held)

    @property
    def expired(self) -> Iterator[tuple[UUID, date, int, datetime]]:
        """The rule, period start and reissue of what expires, each once, and when it did."""
        fates = {(_of_period(key), change.after.expired_at) for key, change in self.changed.items()}
        return ((*of_period, at) for of_period, at in fates if at is not None)

    def take(self, settlement: Settlement) -> None:
        """Add the settlement at one more instant to the outcome."""
        self.now, self.due_at = settlement.now, settlement.due_at
        self.counts += settlement.counts
        self.skipped += settlement.skipped
        self.joined |= settlement.joined
        for change in settlement.change:
            key, at = change.before.key, settlement.now
            self.credits[key] = change.after
            moved = list(movements(end_of(change.before, at), end_of(change.after, at), at))
            if moved:
                self.moved.setdefault(key, []).extend(moved)
            if key in self.issued:
                if change.why is not None:
                    self.revoked_because[key] = change.why
            else:
                earlier = self.changed.get(key)
                before, why = (change.before, None) if earlier is None else (earlier.before, earlier.why)
                self.changed[key] = Change(before, change.after, change.why or why)
        for new in settlement.issue:
            self.issue(new)

    def hold(self, keys: Set[CreditKey]) -> "Outcome":
        """The outcome with some of its new credits held back by a guard."""
        held = {Held(key, self.credits[key].issued_at, HeldState.WAITING, self.credits[key].manual) for key in keys}
        counted = len(keys - self.only_settled)
        counts = self.counts + Counter({Reason.AWAITING_APPROVAL: counted})
        counts[Reason.ISSUED] -= counted
        return replace(
            self,
            credits={key: credit for key, credit in self.credits.items() if key not in keys},
            issued={key: version for key, version in self.issued.items() if key not in keys},
            revoked_because={key: why for key, why in self.revoked_because.items() if key not in keys},
            counts=+counts,
            moved={key: moved for key, moved in self.moved.items() if key not in keys},
            held=self.held | held,
            fingerprint=None,
        )

    def held_after(self, before: Iterable[Held]) -> tuple[Held, ...]:
        """What is held of the membership after the settling. `before`: what was held before it."""
        newly = {held.key for held in self.held}
        kept = {held for held in before if held.key not in newly and not (held.manual and held.key in self.lapsed)}
        lapsed = {held for held in kept if held.key in self.lapsed}
        return tuple(sorted(self.held | (kept - lapsed) | {replace(one, state=HeldState.LAPSED) for one in lapsed}))

    def look_again_for(self, listeners: Collection[Listener], zone: ZoneInfo) -> None:
        """Fall due at the next reminder, if that is sooner."""
        lead = next_reminder(self.credits.values(), listeners, self.now, zone)
        if lead is not None:
            self.due_at = lead if self.due_at is None else min(self.due_at, lead)

    def issue(self, new: NewCredit) -> None:
        """Issue one more credit."""
        credit = new.credit
        self.credits[new.key] = credit
        self.issued[new.key] = new.version
        if credit.expires_at is not None:
            self.due_at = credit.expires_at if self.due_at is None else min(self.due_at, credit.expires_at)


def is_expiry(change: Change) -> bool:
    """Whether an open credit of a rule expires, and changes in nothing else."""
    before, after = change.before, change.after
    return (
        before.is_open
        and not before.is_grant
        and after.expired_at is not None
        and after.revoked_at is None
        and (after.valid_from, after.period_end, after.expires_at, after.validity_ends_at, after.flagged_at)
        == (before.valid_from, before.period_end, before.expires_at, before.validity_ends_at, before.flagged_at)
    )


def _of_period(key: CreditKey) -> tuple[UUID, date, int]:
    return key.credit_rule_id, key.period_start, key.reissue
