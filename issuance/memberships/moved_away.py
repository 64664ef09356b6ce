"""Credits whose period does not begin on their date any more, because the billing date or the start was moved: no
occurrence speaks of them (SEMANTICS 7)."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from uuid import UUID

from issuance.deciding.calendar import day_of
from issuance.deciding.decisions import Decision
from issuance.deciding.facts import Credit, Guest, Rule, StartMoved
from issuance.deciding.history import History
from issuance.deciding.occurrences import Occurrence
from issuance.deciding.reasons import Reason
from issuance.deciding.releases import Release


def moved_away(
    history: History, rules: Sequence[Rule], explained: Collection[tuple[UUID, date]], first: date | None, last: date
) -> Iterator[Decision]:
    """What became of them: one decision for each from `first` to `last`. `explained`: the rules and dates of all
    occurrences of that time."""
    leads = {place for place, lead_booker in history.parties.now if lead_booker}
    rule_of = {rule.credit_rule_id: rule for rule in rules}
    for credit in history.credits if history.dates_moved else ():
        rule_id, place, day, _ = credit.key
        if rule_id not in rule_of or (rule_id, day) in explained or not _was_taken_back(credit):
            continue
        if (first is None or first <= day) and day <= last:
            version = rule_of[rule_id].version(credit.rule_version)
            release = Release(None, Reason.NOT_DUE_YET)
            scheduled_at, end = history.start_of(day), credit.period_end
            turn = Occurrence(day, version.frequency, day, end, scheduled_at, version, release, release.reason)
            yield Decision(rule_id, version, Guest(place, place in leads), turn, Reason.NOT_DUE_YET, credit)


def _was_taken_back(credit: Credit) -> bool:
    """Whether facts took back a credit that no person gave or extended, or would have, had it not been used."""
    return not credit.is_a_persons and (credit.revoked_by == "facts" or credit.flagged_at is not None)


def sentence(history: History, decision: Decision) -> str:
    """Why no period begins on a date any more, as people read it."""
    zone = history.facts.zone
    starts = [fact for fact in history.facts.told if isinstance(fact, StartMoved) and fact.moment.at <= history.now]
    said = f"No period begins on {decision.occurrence.day.isoformat()} any more"
    if history.moves:
        return f"{said}: the billing date was moved on {day_of(history.moves[-1].moment.at, zone).isoformat()}."
    return f"{said}: the start was moved on {day_of(starts[-1].moment.at, zone).isoformat()}." if starts else f"{said}."
