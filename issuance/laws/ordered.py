"""Law 8: any order and any repetition of the same events ends in the same live credits.

A database shows one order only: the one in which its events came. What it can show is that what is there is what the
facts give in the order in which they *happened*: each credit has the terms of its version, its dates and its limits are
those of its period, and the status is that of the facts. That other orders end in the same is kept by tests
(docs/reliability.md).
"""

from collections.abc import Iterator
from typing import Any

from issuance.deciding.facts import Credit, Rule
from issuance.deciding.validities import limits_of
from issuance.laws.law import Law, Offender
from issuance.laws.paper import Paper


def judge(paper: Paper) -> Iterator[Offender]:
    """Credits whose terms are not those that the facts give, and memberships that show another status."""
    membership = paper.membership
    status = paper.settlement.status.value
    if membership.listed.status != status:
        yield {
            "wrong": "shows another status than its facts give",
            "membership_id": membership.membership_id,
            "is": {"status": membership.listed.status},
            "must_be": {"status": status},
        }
    rules = {rule.credit_rule_id: rule for rule in paper.rules}
    for credit in membership.credits:
        if credit.is_grant:
            continue  # its terms are what a person said
        must_be = _terms(paper, credit, rules[credit.key.credit_rule_id])
        wrong = {name: value for name, value in must_be.items() if getattr(credit, name) != value}
        if wrong:
            yield {
                "wrong": "differs from what the facts give",
                "membership_id": membership.membership_id,
                "credit_id": membership.credit_ids[credit.key],
                "is": {name: getattr(credit, name) for name in wrong},
                "must_be": wrong,
            }


def _terms(paper: Paper, credit: Credit, rule: Rule) -> dict[str, Any]:
    """What a credit's fields must hold, as far as later facts do not move it (SEMANTICS 6)."""
    history, version = paper.history, rule.version(credit.rule_version)
    terms: dict[str, Any] = {name: getattr(version, name) for name in ("roll_over", "multi_use", "max_uses")}
    if credit.is_over_for_good and (credit.expires_at is None or credit.expires_at > paper.now):
        terms["expired_at"] = None  # what is out is never marked so
    if history.has_another_calendar or credit.is_over_for_good:
        return terms  # periods that were moved under it: what still moves is law 7's
    limits = limits_of(history, version, credit, credit.valid_from, credit.validity_ends_at)
    terms |= {"period_end": limits.period_end, "expires_at": limits.expires_at}
    if limits.period_end is not None and not history.former_starts:
        # What a person let out is valid from when it would have gone out (SEMANTICS 17).
        terms["valid_from"] = max(limits.begins_at, history.given_at(credit))
    return terms


LAW = Law(8, "ordered", "Any order and any repetition of the same events ends in the same live credits.", judge=judge)
