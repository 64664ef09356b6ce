"""Why did Ada get no credit in March? The decisions themselves, in plain sentences (INTERFACE 5)."""

from datetime import date
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.deciding.decisions import Decision, decide_with
from issuance.deciding.facts import Credit
from issuance.deciding.occurrences import Turn
from issuance.deciding.reasons import Outcome, Reason
from issuance.deciding.releases import History
from issuance.engine.loading import BY_IDS_UNLOCKED, load, load_rules
from issuance.engine.rows import id_array
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
    loaded = load(connection, brand_id, clock.zone, BY_IDS_UNLOCKED, ids=id_array([membership_id]))
    if not loaded:
        raise NotFound("There is no such membership.")
    membership = loaded[0]
    history = History(membership.facts_at(clock.now, membership.credits), clock.now)
    rules = load_rules(connection, brand_id, loaded, hold=False)[membership.row.membership_type_id]
    chosen = [rule for rule in rules if credit_rule_id in (None, rule.credit_rule_id)]
    until = last or max(history.today, history.facts.starts_on)
    names = {row.guest_id: row for row in connection.execute(_GUESTS, {"brand_id": brand_id, "id": membership_id})}
    decisions = decide_with(history, chosen, max(until, history.facts.starts_on))
    rows = []
    for turn, of_turn in groupby(decisions, lambda decision: decision.turn):
        if (first is None or first <= turn.period_start) and turn.period_start <= until:
            facts = _facts(history, turn)
            rows += [_row(history, decision, names, facts) for decision in of_turn]
    return rows


def _facts(history: History, turn: Turn) -> dict[str, Any]:
    """What decided a turn, whoever the guest."""
    return {
        "status_at_start": history.status_at(history.start_of(turn.day)).value,
        "starts_at": _instant(history.start_of(turn.day)),
        "scheduled_at": _instant(turn.scheduled_at),
        "released_at": None if turn.release.first is None else _instant(turn.release.first),
        "charges": [
            {"charge_id": charge.charge_id, "state": charge.facts[-1].state.value}
            for charge in history.charges_on(turn.day)
        ],
        "charged_automatically": history.is_charged_automatically(turn.day),
    }


def _row(history: History, decision: Decision, names: dict[UUID, Any], facts_of_turn: dict[str, Any]) -> dict[str, Any]:
    turn, credit = decision.turn, decision.credit
    # An owed credit that is out was issued; one that is not out yet waits for the settling that is under way.
    reason = Reason.ISSUED if decision.reason is Reason.ALREADY_ISSUED else decision.reason
    named = names.get(decision.guest.guest_id)
    name = named.name if named is not None else str(decision.guest.guest_id)
    facts = {**facts_of_turn, "credit_id": None if credit is None else str(credit.credit_id)}
    return {
        "credit_rule_id": decision.credit_rule_id,
        "rule_version": None if decision.version is None else decision.version.version,
        "guest": {
            "id": decision.guest.guest_id,
            "name": name,
            "lead_booker": decision.guest.lead_booker,
            "external_user_id": None if named is None else named.external_user_id,
        },
        "period_start": turn.period_start,
        "period_end": turn.period_end,
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
    turn = decision.turn
    end = "once and for all" if turn.period_end is None else f"to {turn.period_end.isoformat()}"
    words = {"name": name, "start": turn.period_start.isoformat(), "period": f"{turn.period_start.isoformat()} {end}"}
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
