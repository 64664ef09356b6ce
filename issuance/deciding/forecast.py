"""forecast(facts, credits, rules, …): what a membership will have been given by a day ahead (SEMANTICS 14, law 12).

Pure, and by the same `decide`. It goes from one announced change to the next, as time would: in between, only the
calendar and charges that are counted on give anything, so one look at the end of each stretch tells all of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from issuance.deciding.calendar import midnight
from issuance.deciding.decisions import Decision, decide_all, is_first
from issuance.deciding.facts import Credit, CreditKey, Held, HeldState, MembershipFacts, Rule, StatusChanged
from issuance.deciding.history import Ahead, History
from issuance.deciding.reasons import Outcome, Reason
from issuance.deciding.settlement import changes_of, new_credit

_DAY = timedelta(days=1)
#: The resolution of instants: this much before a fact nothing of it has happened.
_TICK = timedelta(microseconds=1)


class Given(NamedTuple):
    """A credit that exists or will exist, be it used, expired or revoked by the operator. `day`: the date on which its
    occurrence starts; for P0D, that of the billing period that it rides on."""

    day: date
    credit: Credit


def forecast(
    facts: MembershipFacts,
    credits: Iterable[Credit],
    rules: Sequence[Rule],
    now: datetime,
    last_day: date,
    *,
    only: UUID | None = None,
) -> list[Given]:
    """All credits of a membership that exist at the end of `last_day` (in the brand's zone), without those of future
    manual issues and those that facts revoked.

    It counts on a charge for each billing period from today on for which none is known: initiated and succeeded on its
    first day (today: from `now` on), unless the membership is paused or ended then. Announced facts happen at their
    time. A membership that is paused, or needs attention, stays so. Rules stay as they are.

    `credits`: those that exist at `now`. `rules`: those of all the membership's types; `only`: the rule whose credits
    are wanted.
    """
    out = {credit.key: credit for credit in credits}
    # As if every hold were approved (SEMANTICS 17).
    facts = replace(facts, held=tuple(_approved(held) for held in facts.held))

    def look(instant: datetime, decided_at: datetime, only: UUID | None = None) -> list[Decision]:
        history = History(facts, list(out.values()), instant, Ahead(now, decided_at))
        decisions = decide_all(history, rules, only=only)
        _take(out, history, rules, decisions, only)
        return decisions

    decided_at, end = now, midnight(last_day + _DAY, facts.zone) - _TICK
    for change_at in _announced(facts, now, end):
        look(change_at - _TICK, decided_at)
        look(change_at, change_at)
        decided_at = change_at
    decisions = look(end, decided_at, only)
    days: dict[CreditKey, date] = {}
    for decision in sorted(decisions, key=lambda decision: decision.outcome is not Outcome.ISSUED):
        days.setdefault(decision.key, decision.occurrence.day)
    return [
        Given(days.get(key, key.period_start), credit)
        for key, credit in out.items()
        if credit.revoked_by != "facts"
        and key.reissue == 0
        and not credit.is_grant
        and only in (None, key.credit_rule_id)
    ]


def size(facts: MembershipFacts, guests: int, rules: int, now: datetime, last_day: date) -> int:
    """The cost of a forecast: the credits of a monthly rule until then, and for each announced change twice those of
    all `rules`."""
    months = (last_day.year - facts.starts_on.year) * 12 + last_day.month - facts.starts_on.month + 1
    changes = len(_announced(facts, now, midnight(last_day + _DAY, facts.zone)))
    return max(months, 1) * max(guests, 1) * (1 + 2 * changes * rules)


def _approved(held: Held) -> Held:
    return replace(held, state=HeldState.APPROVED) if held.state is HeldState.WAITING else held


def _announced(facts: MembershipFacts, now: datetime, end: datetime) -> list[datetime]:
    """When future facts and announced ends happen."""
    ends = (fact.ends_on for fact in facts.told if isinstance(fact, StatusChanged) and fact.ends_on is not None)
    changes = {*(fact.moment.at for fact in facts.told), *(midnight(day, facts.zone) for day in ends)}
    return sorted(at for at in changes if now < at <= end)


def _take(
    out: dict[CreditKey, Credit],
    history: History,
    rules: Sequence[Rule],
    decisions: Sequence[Decision],
    only: UUID | None,
) -> None:
    """Issue what is owed, take back what is not."""
    changes = list(changes_of(history, rules, decisions, only=only))
    out.update((change.before.key, change.after) for change in changes)
    given: set[CreditKey] = set()
    for decision in decisions:
        if decision.reason is Reason.ISSUED and is_first(decision, given):
            new = new_credit(decision, history.issued_at(decision.occurrence.release.first))
            out[new.key] = new.credit
