"""Law 2: every released occurrence has its credit, or a reason why not.

It is the law of completeness: what is owed is computed anew from the facts, and what is missing is named. What is there
and is not owed is law 3's, what is there and differs laws 7's and 8's.
"""

from collections.abc import Iterator

from issuance.laws.law import Law, Offender
from issuance.laws.paper import Paper


def judge(paper: Paper) -> Iterator[Offender]:
    """Credits that a settled membership is owed and does not have. `issuance check --repair` issues them."""
    membership = paper.membership
    for new in paper.settlement.issue:
        yield {
            "wrong": "owed and not issued",
            "membership_id": membership.membership_id,
            "credit_rule_id": new.key.credit_rule_id,
            "guest_id": membership.guest_ids[new.key.place],
            "period_start": new.key.period_start,
        }


LAW = Law(2, "owed", "Every released occurrence has its credit, or a reason why not.", judge=judge)
