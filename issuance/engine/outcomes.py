"""What settling a membership comes to.

While a sandbox clock is being moved, time passes: the membership is decided at each instant at which it falls due on
the way, as a live one would have been. On a live brand, and after a jump, it is decided once, now (INTERFACE 8).
"""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.decisions import Decision
from issuance.deciding.facts import Credit, CreditKey, Held, HeldState, Rule, RuleVersion
from issuance.deciding.history import History
from issuance.deciding.manual_issue import let_out, waits
from issuance.deciding.movements import Movement, end_of, movements
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener, Reminder, next_reminder, reminders
from issuance.deciding.settlement import Change, NewCredit, Settlement, settle
from issuance.engine import limits
from issuance.engine.event_facts import DATES_MOVED
from issuance.engine.facts import Listed, Membership
from issuance.tenancy.clock import BrandClock


@dataclass(slots=True)
class Outcome:
    """What settling came to: credits to insert and to change, and the state of the membership after it."""

    #: The last instant that was decided at.
    now: datetime
    #: Whether all that is known has been settled: `now` is the clock's, and nothing is left to do at it.
    complete: bool = True
    #: What lists of memberships are to show; None: what they show now.
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
    #: Those of the new ones that a manual run only settled: it neither counts them nor is named on them.
    only_settled: frozenset[CreditKey] = frozenset()
    #: Those of the new ones that a person let out: no guard is asked about them.
    let_out: set[CreditKey] = field(default_factory=set)
    #: What a guard holds back now, and what it held back and is not owed any more.
    held: set[Held] = field(default_factory=set)
    lapsed: set[CreditKey] = field(default_factory=set)
    #: Which credit, owed at any of the instants, what is held by hand for a start that was moved is one with.
    joined: dict[CreditKey, CreditKey] = field(default_factory=dict)
    #: What is to be told of credits that expire soon.
    reminders: list[Reminder] = field(default_factory=list)
    #: The new decisions that give nothing.
    skipped: list[Decision] = field(default_factory=list)
    #: All that later decisions depend on until there is news; None: the membership must be decided by itself.
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
        """Whether it issues anything, or would but for a guard."""
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


def outcome_of(
    membership: Membership, rules: Sequence[Rule], clock: BrandClock, listeners: Collection[Listener] = ()
) -> Outcome:
    """Settle a membership at each instant that is due, and at the clock's `now`. `listeners`: who is told of credits
    that expire soon."""
    instant = _first(membership, clock)
    outcome = Outcome(instant, credits={credit.key: credit for credit in membership.credits})
    settled_at = membership.state.settled_at
    bounds = limits.current
    for _ in range(bounds.instants):
        history = membership.history(instant, list(outcome.credits.values()))
        settlement = settle(history, rules, settled_at, most_credits=bounds.credits)
        before = dict(outcome.credits) if listeners else {}
        outcome.take(settlement)
        if listeners:
            outcome.reminders += reminders(before, outcome.credits, listeners, settled_at, instant, clock.zone)
            outcome.look_again_for(listeners, clock.zone)
        settled_at = instant
        outcome.listed = Listed(
            settlement.status.value,
            history.standing.ends_on,
            history.types.now,
            history.starts_on,
            history.first_anchor,
            history.billing_frequency.text,
        )
        outcome.pay_for_nothing = frozenset(
            charge.number for charge in history.charges if history.pays_for_nothing(charge, rules)
        )
        if instant == clock.now:
            break
        if outcome.due_at is not None and outcome.due_at <= clock.now:
            instant = outcome.due_at
        elif membership.news:
            instant = clock.now  # for what became known meanwhile
        else:
            outcome.now = clock.now  # nothing changes until then
            break
    outcome.complete = outcome.now == clock.now and outcome.due_at != clock.now
    if membership.facts.held and outcome.complete:
        _look_after_held(membership, outcome, rules, settlement)
    return outcome


def _look_after_held(membership: Membership, outcome: Outcome, rules: Sequence[Rule], settlement: Settlement) -> None:
    """Let out what a person approved, as it is decided now. Hold no longer what is not owed any more."""
    for held in sorted(membership.facts.held, key=attrgetter("at")):  # who was first finds nobody in the way
        if held.state in (HeldState.REFUSED, HeldState.LAPSED):
            continue
        owed = outcome.joined.get(held.key, held.key)
        if held.state is HeldState.APPROVED:
            if held.manual:
                _let_out(membership, outcome, rules, held)
            outcome.let_out |= {held.key, owed} & outcome.issued.keys()
        is_by_hand = held.manual and held.state is HeldState.WAITING
        is_waiting = owed in settlement.waiting or (is_by_hand and _waits(membership, outcome, rules, held))
        if is_by_hand and owed in settlement.waiting and all(owed != one.key for one in outcome.held):
            # Owed by now, it is what a person speaks of.
            outcome.held.add(Held(owed, held.at if owed == held.key else outcome.now, HeldState.WAITING))
        is_joined = owed != held.key and (owed in settlement.waiting or owed in outcome.issued)
        if is_joined or (held.key not in outcome.credits and not is_waiting):
            outcome.lapsed.add(held.key)


def _waits(membership: Membership, outcome: Outcome, rules: Sequence[Rule], held: Held) -> bool:
    """Whether what a person asked for by hand may still be given if somebody approves it."""
    history = History(membership.facts, list(outcome.credits.values()), outcome.now)
    return any(waits(history, rule, held) for rule in rules if rule.credit_rule_id == held.key.credit_rule_id)


def _let_out(membership: Membership, outcome: Outcome, rules: Sequence[Rule], held: Held) -> None:
    """Issue what a person asked for by hand, and approved."""
    history = History(membership.facts, list(outcome.credits.values()), outcome.now)
    for rule in rules:
        if rule.credit_rule_id == held.key.credit_rule_id and held.key not in outcome.credits:
            new = let_out(history, rule, held)
            if new is not None:
                outcome.issue(new)
                outcome.counts[Reason.ISSUED] += 1


def _first(membership: Membership, clock: BrandClock) -> datetime:
    """The first instant to decide at: now, unless time passes and something was due on the way."""
    due_at, settled_at, _ = membership.state
    if not clock.stands_still or due_at is None or settled_at is None or due_at > clock.now:
        return clock.now
    return due_at if clock.woke_at is None else max(due_at, clock.woke_at)


class EventKey(NamedTuple):
    """What identifies an event of a brand."""

    source: str
    event_id: str


class Settled(NamedTuple):
    """Memberships, by their ids, with what settling came to for each of them.

    If `itself` is set, it is one membership, and `member` is that membership; otherwise `member` is the one of their
    group that was loaded. By the id of a membership: `events` are settled with it, and `charges` are those that have
    news, with their numbers. `shared_by`: the schedule that they share; None: each has its own.
    """

    ids: Sequence[str]
    outcome: Outcome
    member: Membership
    itself: bool
    events: Mapping[str, Sequence[EventKey]] = {}
    charges: Mapping[str, Sequence[tuple[str, int]]] = {}
    shared_by: UUID | None = None


def one_by_one(settled: Iterable[Settled]) -> list[Settled]:
    """Each membership by itself, in the order of their ids."""
    return sorted((some._replace(ids=(one,)) for some in settled for one in some.ids), key=attrgetter("ids"))


def without(settled: Iterable[Settled], ids: Container[str]) -> list[Settled]:
    """Without some memberships."""
    left = (some._replace(ids=[one for one in some.ids if one not in ids]) for some in settled)
    return [some for some in left if some.ids]


def by_outcome(settled: Iterable[Settled]) -> list[tuple[Outcome, list[Settled]]]:
    """Memberships by the outcome that they share, in their order: what is the same for thousands is asked once."""
    found: dict[int, tuple[Outcome, list[Settled]]] = {}
    for some in settled:
        found.setdefault(id(some.outcome), (some.outcome, []))[1].append(some)
    return list(found.values())


def settled_itself(member: Membership, outcome: Outcome) -> Settled:
    """A membership that was loaded, with the outcome of its own facts."""
    since = member.state.settled_at
    numbers = member.charge_numbers
    new_events = [
        event for event in member.events if event.is_news or since is None or since < event.time <= outcome.now
    ]
    if any(event.type in DATES_MOVED for event in new_events):
        new = numbers
    else:
        new = {event.charge_id: numbers[event.charge_id] for event in new_events if event.charge_id is not None}
    events = [EventKey(event.source, event.event_id) for event in member.news]
    one = str(member.membership_id)
    return Settled((one,), outcome, member, True, {one: events}, {one: tuple(new.items())})
