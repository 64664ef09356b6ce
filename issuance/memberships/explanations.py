"""Why did Ada get no credit in March? The decisions themselves, in plain sentences (INTERFACE 5)."""

from bisect import bisect_left
from datetime import date
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.deciding.calendar import add_months
from issuance.deciding.charges import Charge
from issuance.deciding.decisions import Decision, decide
from issuance.deciding.facts import Credit, RuleVersion
from issuance.deciding.history import History
from issuance.deciding.occurrences import Occurrence
from issuance.deciding.reasons import Outcome, Reason
from issuance.engine.facts import load
from issuance.engine.membership import Membership
from issuance.engine.rules import RuleBook
from issuance.errors import Invalid, NotFound
from issuance.memberships.moved_away import moved_away, sentence
from issuance.tenancy import clock as clocks

_GUESTS = text("""
    SELECT g.guest_id, g.name, m.external_user_id
      FROM guests g LEFT JOIN members m USING (brand_id, member_id)
     WHERE g.brand_id = :brand_id AND g.membership_id = :id
""")
_HAS_MORE = text("""
    SELECT EXISTS (SELECT FROM credits WHERE brand_id = :brand_id AND membership_id = :id OFFSET :most)
""")

#: The most rows and occurrences of an explanation, the most years that its dates may span, and the most charges that it
#: names at a time. Who wants more asks several times.
MOST_ROWS, MOST_OCCURRENCES, MOST_YEARS, MOST_CHARGES = 50_000, 10_000, 50, 20
#: The most charges that pay for nothing that it names: the latest.
MOST_IDLE = 1000


class TooMuchToExplain(Invalid):
    """This is too much at once: name one rule, or dates that lie nearer to each other."""

    code = "too_much_to_explain"


class Explanation(NamedTuple):
    """What became of a membership's occurrences, and the charges for which it gets nothing."""

    #: One row for each rule, guest and occurrence: those of the page that was asked for.
    rows: list[dict[str, Any]]
    #: How many rows there are on all pages.
    total: int
    #: The charges that cover no billing date and no occurrence of a rule, with the nearest billing date.
    charges_for_nothing: list[dict[str, Any]]


def explain(
    connection: Connection,
    brand_id: UUID,
    membership_id: UUID,
    *,
    credit_rule_id: UUID | None = None,
    first: date | None = None,
    last: date | None = None,
    page: int = 1,
    per_page: int | None = None,
) -> Explanation:
    """The occurrences whose period starts from `first` to `last` (inclusive dates in the brand's zone; by default from
    the sign-up to today), of deleted rules too. With `per_page` it gives one page of them, and bounds what may be asked
    for. Raises NotFound for an unknown membership, TooMuchToExplain."""
    clock = clocks.read(connection, brand_id)
    parameters = {"brand_id": brand_id, "id": membership_id}
    if per_page is not None and connection.scalar(_HAS_MORE, {**parameters, "most": MOST_ROWS}):
        raise TooMuchToExplain(f"The membership has more than {MOST_ROWS} credits, too many to explain at once.")
    loaded = load(connection, brand_id, clock.zone, [membership_id])
    if not loaded:
        raise NotFound("There is no such membership.")
    (membership,) = loaded
    history = membership.history(clock.now)
    rules = RuleBook(connection, brand_id, clock.zone).of(membership.facts.types)
    until = last or max(history.today, history.starts_on)
    names = {row.guest_id: row for row in connection.execute(_GUESTS, parameters)}
    if per_page is not None and last is not None and last > add_months(first or history.starts_on, 12 * MOST_YEARS):
        raise TooMuchToExplain(f"The dates may lie at most {MOST_YEARS} years apart.", fields={"to": "too late"})
    made = {rule.credit_rule_id: rule.versions for rule in rules}
    start, end = (0, 0) if per_page is None else ((page - 1) * per_page, page * per_page)
    rows: list[dict[str, Any]] = []
    total = 0
    horizon = max(until, history.starts_on)
    charges = _Charges(history)
    days: set[tuple[UUID, date]] = set()
    for number, one in enumerate(decide(history, rules, horizon, only=credit_rule_id)):
        occurrence = one.occurrence
        days.add((one.credit_rule_id, occurrence.period_start))
        if per_page is not None and (total > MOST_ROWS or number >= MOST_OCCURRENCES):
            raise TooMuchToExplain(
                f"An explanation has at most {MOST_ROWS} rows, of {MOST_OCCURRENCES} occurrences since the sign-up:"
                " name one rule, or dates that lie nearer to each other."
            )
        begins = (occurrence.period_start, occurrence.day)  # what a P0D occurrence rides on may begin later
        if not any((first is None or first <= day) and day <= until for day in begins):
            continue
        here, total = total, total + one.number
        if per_page is None or (here < end and start < total):
            facts = _facts(membership, history, occurrence, charges)
            wanted = one.decisions
            if per_page is not None:
                wanted = islice(wanted, max(0, start - here), max(0, end - here))
            rows += [_row(membership, history, decision, names, facts, made) for decision in wanted]
    for decision in moved_away(history, rules, days, first, until):
        if credit_rule_id in (None, decision.credit_rule_id):
            if per_page is None or start <= total < end:
                facts = _facts(membership, history, decision.occurrence, charges)
                rows.append(_row(membership, history, decision, names, facts, made, sentence(history, decision)))
            total += 1
    idle = [
        {**_charge(membership, charge), "nearest_billing_date": history.calendar.nearest_boundary(charge.period_start)}
        for charge in history.charges
        if history.pays_for_nothing(charge, rules)
    ]
    return Explanation(rows, total, idle[-MOST_IDLE:])


class _Charges:
    """The charges of a membership: the open ones, and the one that is nearest to a date."""

    def __init__(self, history: History) -> None:
        unsettled = {one.number for one in history.standing.outstanding if not one.is_settled_by(history.now)}
        self.open = [charge for charge in history.charges if charge.number in unsettled][:MOST_CHARGES]
        # The first of those that start on one date.
        by_start = {charge.period_start: charge for charge in reversed(history.charges)}
        self._starts = sorted(by_start)
        self._by_start = by_start

    def nearest(self, day: date) -> Charge | None:
        place = bisect_left(self._starts, day)
        beside = self._starts[max(0, place - 1) : place + 1]
        return self._by_start[min(beside, key=lambda start: abs(start - day))] if beside else None


def _facts(membership: Membership, history: History, occurrence: Occurrence, known: _Charges) -> dict[str, Any]:
    """What decided an occurrence for every guest."""
    charges = history.charges_for(occurrence.frequency.interval, occurrence.day)
    nearest = known.nearest(occurrence.day)
    return {
        "status_at_start": history.standing.at(history.start_of(occurrence.day)).value,
        "starts_at": _instant(history.start_of(occurrence.day)),
        "scheduled_at": _instant(occurrence.scheduled_at),
        "released_at": None if occurrence.release.first is None else _instant(occurrence.release.first),
        "charges": [_charge(membership, charge) for charge in charges[:MOST_CHARGES]],
        "nearest_charge": None if nearest is None else _charge(membership, nearest),
        "open_charges": [_charge(membership, charge) for charge in known.open],
        "charged_automatically": any(charge.automatic for charge in charges),
    }


def _charge(membership: Membership, charge: Charge) -> dict[str, Any]:
    """A charge, with the dates that it covers."""
    return {
        "charge_id": membership.charge_id(charge),
        "state": charge.state.value,
        "period_start": charge.covers.start,
        "period_end": charge.covers.end,
    }


def _row(
    membership: Membership,
    history: History,
    decision: Decision,
    names: dict[UUID, Any],
    shared: dict[str, Any],
    made: dict[UUID, tuple[RuleVersion, ...]],
    why: str | None = None,
) -> dict[str, Any]:
    """What is told of a decision. `why`: in place of the sentence of its reason."""
    decision = _with_its_own_credit(decision)
    occurrence, credit = decision.occurrence, decision.credit
    guest_id = membership.guest_ids[decision.guest.place]
    # An owed credit that is out was issued; one that is not out waits for settling.
    reason = Reason.ISSUED if decision.told is Reason.ALREADY_ISSUED else decision.told
    named = names.get(guest_id)
    name = named.name if named is not None else str(guest_id)
    later = (version.created_at for version in made[decision.credit_rule_id])
    saved_at = min((at for at in later if at > occurrence.scheduled_at), default=None)
    facts = {
        **shared,
        "next_version_at": None if saved_at is None else _instant(saved_at),
        "credit_id": None if credit is None else str(membership.credit_ids[credit.key]),
    }
    return {
        "credit_rule_id": decision.credit_rule_id,
        "rule_version": decision.rule_version,
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
        "text": _sentence(history, decision, reason, name, facts, why),
    }


def _with_its_own_credit(decision: Decision) -> Decision:
    """A rule that became P0D, or was P0D, has two occurrences under the sign-up's key. The credit belongs to the one
    that is owed, else to the one of its own kind."""
    credit = decision.credit
    if credit is None or decision.outcome is Outcome.ISSUED:
        return decision
    is_its_own = (credit.period_end is None) == (decision.occurrence.period_end is None)
    return decision if is_its_own else decision._replace(credit=None)


def _instant(instant: Any) -> str:
    return str(instant.isoformat())


_SENTENCES = {
    Reason.CHARGE_UNPAID: "{name} gets no credit for {period} yet: its charge is not initiated, or was taken back."
    "{charge}",
    Reason.NEEDS_ATTENTION: "The credit for {period} is held: the membership needs attention until it is active again."
    "{open}",
    Reason.NOT_BILLED_YET: "No charge has covered a billing date of the membership yet: until then only its sign-up"
    " counts.{charge}",
    Reason.NOT_DUE_YET: "The period from {start} has not begun yet.",
    Reason.NOT_SIGNUP_RULE: "The rule issues nothing on sign-up; it begins with the first billing period.",
    Reason.VERSION_NOT_IN_FORCE: "No version of the rule was in force for {period}: it was scheduled at {scheduled},"
    " {saved}.",
    Reason.RULE_DELETED: "The rule is deleted: nothing is issued under it any more.",
    Reason.NOT_LEAD_BOOKER: "The rule is for the lead booker only, and {name} is not the lead booker of {period}.",
    Reason.MEMBERSHIP_PAUSED: "The membership was paused when {period} began.",
    Reason.MEMBERSHIP_ENDED: "The membership had ended when {period} began.",
    Reason.CHARGE_SKIPPED: "The charge for {period} was waived, so it gives nothing.",
    Reason.PERIOD_OVER: "{period} was over before its credit could be issued, and it does not roll over so far.",
    Reason.GUEST_REMOVED: "{name} has left the order since {period} began.",
    Reason.MEMBER_ARCHIVED: "{archived}",
    Reason.OF_ANOTHER_TYPE: "The membership was of another type when {period} began, or was switched to one in it.",
    Reason.USED_BEFORE_CHANGE: "{name} had used one of this coupon in {period} before the membership's type changed.",
    Reason.AWAITING_APPROVAL: "The brand's guard holds the credit of {name} for {period} until a person approves it.",
    Reason.REFUSED: "The brand's guard held the credit of {name} for {period}, and a person refused it.",
    Reason.COUPON_MISSING: "The rule's coupon is not there, so its credit could not be made.",
    Reason.ISSUED: "The credit of {name} for {period} is owed and about to be issued.",
}


def _sentence(
    history: History, decision: Decision, reason: Reason, name: str, facts: dict[str, Any], why: str | None
) -> str:
    occurrence = decision.occurrence
    end = "once and for all" if occurrence.period_end is None else f"to {occurrence.period_end.isoformat()}"
    words = {
        "name": name,
        "start": occurrence.period_start.isoformat(),
        "period": f"{occurrence.period_start.isoformat()} {end}",
        "charge": _nearest(facts),
        "archived": _archived(history, decision, name),
        "open": "".join(f" Open is {_said(charge)}." for charge in facts["open_charges"]),
        "scheduled": facts["scheduled_at"],
        "saved": f"and the next version counts from {facts['next_version_at']}"
        if facts["next_version_at"]
        else "and no version is for it",
    }
    if decision.credit is not None:
        how = " by hand" if decision.credit.manual else ""
        said = f"{name} was issued a credit{how} for {words['period']}; it {_became(history, decision.credit)}."
        if reason.outcome is Outcome.ISSUED:
            return said
        return f"{said} {why or _SENTENCES.get(reason, reason.value).format(**words)}"
    return _SENTENCES.get(reason, reason.value).format(**words)


def _archived(history: History, decision: Decision, name: str) -> str:
    """Who is archived, the guest or the member who signed up; or was until the occurrence had begun."""
    place, occurrence = decision.guest.place, decision.occurrence
    if history.is_archived(place):
        return f"{name if history.guest_is_archived(place) else 'The member who signed up'} is archived."
    began, of_guest = f"It began on {occurrence.day.isoformat()}", history.guest_was_archived(place, occurrence.day)
    if of_guest is not None and of_guest.span.until is not None and of_guest.span.until <= history.now:
        return f"{began}, when {name} was listed as a member who was archived."
    who = "the member who signed up" if of_guest is None else name
    return f"{began}, before {who} was brought back after an archiving."


def _nearest(facts: dict[str, Any]) -> str:
    if facts["charges"]:
        return "".join(f" It is {_said(charge)}." for charge in facts["charges"])
    return f" The nearest is {_said(facts['nearest_charge'])}." if facts["nearest_charge"] else ""


def _said(charge: dict[str, Any]) -> str:
    return f"charge {charge['charge_id']} ({charge['state']}) for {charge['period_start']} to {charge['period_end']}"


#: What is said of a revoked credit, by who revoked it (GLOSSARY: revoked).
_REVOKED = {
    "facts": "was revoked",
    "operator": "was revoked by the operator",
    "archiving": "was revoked for good, by an archiving",
}


def _became(history: History, credit: Credit) -> str:
    if credit.redeemed_at is not None:
        return "has been redeemed"
    if credit.revoked_at is not None:
        return _REVOKED[str(credit.revoked_by)]
    if credit.expires_at is not None and credit.expires_at <= history.now:
        return "has expired"
    return "is not valid yet" if credit.valid_from > history.now else "is live"
