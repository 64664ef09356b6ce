"""Decide about a membership at each instant that is due, and sum up to its outcome.

While a sandbox clock is being moved, time passes: the membership is decided at each instant at which it falls due on
the way, as a live one would have been. On a live brand, and after a jump, it is decided once, now (INTERFACE 8).
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from operator import attrgetter

from issuance import limits
from issuance.deciding.facts import Held, HeldState, Rule
from issuance.deciding.history import History
from issuance.deciding.manual_issue import let_out, waits
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener, reminders
from issuance.deciding.settlement import Settlement, settle
from issuance.engine.membership import Listed, Membership
from issuance.engine.outcome import Outcome
from issuance.tenancy.clock import BrandClock


def outcome_of(
    membership: Membership, rules: Sequence[Rule], clock: BrandClock, listeners: Collection[Listener] = ()
) -> Outcome:
    """Settle a membership at each instant that is due, and at the clock's `now`. `listeners`: who is told of credits
    that expire soon."""
    instant = _first(membership, clock)
    outcome = Outcome(instant, credits={credit.key: credit for credit in membership.credits})
    settled_at = membership.state.settled_at
    bounds = limits.current.settling
    for _ in range(bounds.instants):
        history = membership.history(instant, list(outcome.credits.values()))
        settlement = settle(history, rules, settled_at, most_credits=bounds.credits, most_ever=bounds.credits_ever)
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
