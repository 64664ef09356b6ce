"""Law 7: replaying anything changes nothing.

On a live database: settling a settled membership once more would write nothing. What would be issued is law 2's, what
would be taken back law 3's; here is what would change in any other way: come back to life, expire, be flagged or end
at another instant.
"""

from collections.abc import Iterator
from dataclasses import fields

from issuance.deciding.facts import Credit
from issuance.laws.law import Law, Offender
from issuance.laws.paper import Paper

_FIELDS = [field.name for field in fields(Credit)]


def judge(paper: Paper) -> Iterator[Offender]:
    """Credits that settling once more would change, with what it would change."""
    for change in paper.settlement.change:
        credit, becomes = change.before, change.after
        if credit.revoked_at is None and becomes.revoked_at is not None:
            continue
        differing = [name for name in _FIELDS if getattr(credit, name) != getattr(becomes, name)]
        yield {
            "wrong": "settling it again would change it",
            "membership_id": paper.membership.membership_id,
            "credit_id": paper.membership.credit_ids[credit.key],
            "is": {name: getattr(credit, name) for name in differing},
            "becomes": {name: getattr(becomes, name) for name in differing},
        }


LAW = Law(7, "replayed", "Replaying anything changes nothing.", judge=judge)
