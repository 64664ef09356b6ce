"""Why did Ada get no credit in March? The decisions themselves, in plain sentences (INTERFACE 5)."""

from datetime import date
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.deciding.decisions import Decision, decide
from issuance.deciding.facts import Credit
from issuance.deciding.history import History
from issuance.deciding.occurrences import Occurrence
from issuance.deciding.reasons import Outcome, Reason
from issuance.engine.facts import Membership, load
from issuance.engine.rules import RuleBook
from issuance.errors import NotFound
from issuance.tenancy import clock as clocks

_GUESTS = text("""
    SELECT g.guest_id, g.name, m.external_user_id
      FROM guests g LEFT JOIN members m USING (brand_id, member_id)
     WHERE g.brand_id = :brand_id AND g.membership_id = :id
""")


def explain(
    connection: Connection,
    brand_id: UUID,
    membership_id: UUID,
    *,
    credit_rule_id: UUID | None = None,
    first: date | None = None,
    last: date | None = None,
) -> list[dict[str, Any]]:
    """A row a (rule, guest, occurrence) whose period starts within `first` to `last` (inclusive dates in the brand's
    zone; default: from the sign-up to today), deleted rules too. Raises NotFound for an unknown membership."""
    clock = clocks.read(connection, brand_id)
    loaded = load(connection, brand_id, clock.zone, [membership_id])
    if not loaded:
        raise NotFound("There is no such membership.")
    (member,) = loaded
    history = member.history(clock.now)
    rules = RuleBook(connection, brand_id)[member.facts.membership_type_id]
    chosen = [rule for rule in rules if credit_rule_id in (None, rule.credit_rule_id)]
    until = last or max(history.today, history.facts.starts_on)
    names = {row.guest_id: row for row in connection.execute(_GUESTS, {"brand_id": brand_id, "id": membership_id})}
    decisions = decide(history, chosen, max(until, history.facts.starts_on))
    rows = []
    for occurrence, of_occurrence in groupby(decisions, lambda decision: decision.occurrence):
        if (first is None or first <= occurrence.period_start) and occurrence.period_start <= until:
            facts = _facts(member, history, occurrence)
            rows += [_row(member, history, decision, names, facts) for decision in of_occurrence]
    return rows


def _facts(member: Membership, history: History, occurrence: Occurrence) -> dict[str, Any]:
    """What decided an occurrence, whoever the guest."""
    return {
        "status_at_start": history.status_at(history.start_of(occurrence.day)).value,
        "starts_at": _instant(history.start_of(occurrence.day)),
        "scheduled_at": _instant(occurrence.scheduled_at),
        "released_at": None if occurrence.release.first is None else _instant(occurrence.release.first),
        "charges": [
            {"charge_id": member.charge_ids[charge.number], "state": charge.state.value}
            for charge in history.charges_on(occurrence.day)
        ],
        "charged_automatically": history.is_charged_automatically(occurrence.day),
    }


def _row(
    member: Membership, history: History, decision: Decision, names: dict[UUID, Any], shared: dict[str, Any]
) -> dict[str, Any]:
    occurrence, credit = decision.occurrence, decision.credit
    guest_id = member.guest_ids[decision.guest.place]
    # An owed credit that is out was issued; one that is not out yet waits for the settling that is under way.
    reason = Reason.ISSUED if decision.reason is Reason.ALREADY_ISSUED else decision.reason
    named = names.get(guest_id)
    name = named.name if named is not None else str(guest_id)
    facts = {**shared, "credit_id": None if credit is None else str(member.credit_ids[credit.key])}
    return {
        "credit_rule_id": decision.credit_rule_id,
        "rule_version": None if decision.version is None else decision.version.version,
        "guest": {
            "id": guest_id,
            "name": name,
            "lead_booker": decision.guest.lead_booker,
            "external_user_id": None if named is None else named.external_user_id,
        },
        "period_start": occurrence.period_start,
        "period_end": occurrence.period_end,
        "outcome": reason.outcome.value,
        "reason": reason.value,
        "facts": facts,
        "text": _sentence(history, decision, reason, name),
    }


def _instant(instant: Any) -> str:
    return str(instant.isoformat())


_SENTENCES = {
    Reason.CHARGE_UNPAID: "{name} gets no credit for {period} yet: its charge is not initiated, or was taken back.",
    Reason.NEEDS_ATTENTION: "The credit for {period} is held: the membership needs attention until it is active again.",
    Reason.NOT_DUE_YET: "The period from {start} has not begun yet.",
    Reason.NOT_SIGNUP_RULE: "The rule issues nothing on sign-up; it begins with the first billing period.",
    Reason.VERSION_NOT_IN_FORCE: "No version of the rule was in force for {period} when it was scheduled.",
    Reason.RULE_DELETED: "The rule is deleted: nothing is issued under it any more.",
    Reason.NOT_LEAD_BOOKER: "The rule is for the lead booker only, and {name} is not the lead booker of {period}.",
    Reason.MEMBERSHIP_PAUSED: "The membership was paused when {period} began.",
    Reason.MEMBERSHIP_ENDED: "The membership had ended when {period} began.",
    Reason.CHARGE_SKIPPED: "The charge for {period} was waived, so it gives nothing.",
    Reason.PERIOD_OVER: "{period} was over before its credit could be issued, and the rule does not roll over.",
    Reason.GUEST_REMOVED: "{name} has left the order since {period} began.",
    Reason.MEMBER_ARCHIVED: "The member is archived.",
    Reason.COUPON_MISSING: "The rule's coupon is not there, so its credit could not be made.",
    Reason.ISSUED: "The credit of {name} for {period} is owed and about to be issued.",
}


def _sentence(history: History, decision: Decision, reason: Reason, name: str) -> str:
    occurrence = decision.occurrence
    end = "once and for all" if occurrence.period_end is None else f"to {occurrence.period_end.isoformat()}"
    words = {
        "name": name,
        "start": occurrence.period_start.isoformat(),
        "period": f"{occurrence.period_start.isoformat()} {end}",
    }
    if decision.credit is not None:
        said = f"{name} was issued a credit for {words['period']}; it {_became(history, decision.credit)}."
        if reason.outcome is Outcome.ISSUED:
            return said
        return f"{said} {_SENTENCES.get(reason, reason.value).format(**words)}"
    return _SENTENCES.get(reason, reason.value).format(**words)


def _became(history: History, credit: Credit) -> str:
    if credit.redeemed_at is not None:
        return "has been redeemed"
    if credit.revoked_at is not None:
        return "was revoked by the operator" if credit.revoked_by == "operator" else "was revoked"
    if credit.expires_at is not None and credit.expires_at <= history.now:
        return "has expired"
    return "is not valid yet" if credit.valid_from > history.now else "is live"
