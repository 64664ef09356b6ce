"""What is decided from a horizon is decided in full as well, and must come to the same writes
(docs/decisions/0054)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from issuance.engine.facts import load
from issuance.engine.fingerprint import as_it_was
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.pipeline import Settling
from issuance.engine.settled import settled_itself
from issuance.engine.tasks import Meant

#: How many settlings were decided twice so far, by what they came to.
seen: Counter[str] = Counter()


@contextmanager
def decided_twice(tell: Callable[[str], None]) -> Iterator[None]:
    """Each settling of what can still change is decided in full too. `tell` hears where the two differ."""
    decide = Settling._decide

    def both(self: Settling, membership: Membership, meant: Meant) -> Outcome:
        outcome = decide(self, membership, meant)
        if membership.horizon is not None:
            (whole,) = load(self._connection, self._brand_id, self._clock.zone, [membership.membership_id])
            if not _raced(membership, whole):
                expected = decide(self, whole, meant)
                seen[_kind(membership, outcome)] += 1
                lines = [*_differences(membership, outcome, whole, expected), *_prints(self, outcome, whole, expected)]
                if lines:
                    tell(
                        f"from its horizon {membership.horizon} {membership.membership_id} comes to other writes\n"
                        + "\n".join(lines)
                    )
        return outcome

    with mock.patch.object(Settling, "_decide", both):
        yield


def _kind(membership: Membership, outcome: Outcome) -> str:
    told = "news" if membership.news else "time"
    does = [name for name, some in (("issues", outcome.issued), ("changes", outcome.changed)) if some]
    return " ".join([told, *(does or ["nothing"])])


def _raced(membership: Membership, whole: Membership) -> bool:
    """Whether a credit was used between the two times that the membership was loaded."""
    known = {credit.key: credit for credit in whole.credits}
    return any(known[credit.key] != credit for credit in membership.credits)


def _differences(membership: Membership, outcome: Outcome, whole: Membership, expected: Outcome) -> Iterator[str]:
    one, other = _written(membership, outcome), _written(whole, expected)
    for name, value in other.items():
        if one[name] != value:
            yield f"  {name}: from the horizon {one[name]}, in full {value}"


def _written(membership: Membership, outcome: Outcome) -> dict[str, Any]:
    """All that is written for a membership, but for its fingerprint."""
    settled = settled_itself(membership, outcome)
    charges = {charge.number: charge for charge in membership.history(outcome.now).charges}
    rows = {
        charge_id: (
            (charge.state, charge.period_start, charge.period_end, charge.amount, charge.amount_refunded)
            if (charge := charges.get(number)) is not None
            else None,
            number in outcome.pay_for_nothing,
        )
        for charge_id, number in settled.charges[str(membership.membership_id)]
    }
    return {
        "now": outcome.now,
        "complete": outcome.complete,
        "listed": outcome.listed,
        "due_at": outcome.due_at,
        "counts": outcome.counts,
        "issued": {key: (version, outcome.credits[key]) for key, version in outcome.issued.items()},
        "changed": outcome.changed,
        "moved": outcome.moved,
        "revoked_because": outcome.revoked_because,
        "held": (outcome.held, outcome.lapsed, outcome.let_out),
        "reminders": sorted(outcome.reminders, key=repr),
        "skipped": [(decision.key, decision.version, decision.reason) for decision in outcome.skipped],
        "events": settled.events,
        "charges": rows,
    }


def _prints(settling: Settling, outcome: Outcome, whole: Membership, expected: Outcome) -> Iterator[str]:
    """A fingerprint that was true is true again. One that was taken of others of a group may not be: credits may have
    been used before."""
    settled_at = whole.state.settled_at
    assert settled_at is not None, "a horizon is that of a settled membership"
    told = tuple(fact for fact, event in zip(whole.facts.told, whole.events, strict=True) if not event.is_news)
    were = [as_it_was(credit, settled_at) for credit in whole.credits]
    was = settling._fingerprints.settled(replace(whole.facts, told=told), were, settled_at)
    if (outcome.fingerprint is None) != (expected.fingerprint is None):
        yield f"  fingerprint: from the horizon {outcome.fingerprint}, in full {expected.fingerprint}"
    elif was == whole.state.fingerprint and outcome.fingerprint != expected.fingerprint:
        yield "  fingerprint: it was true and is not carried on"
    seen["a true fingerprint" if was == whole.state.fingerprint else "another's fingerprint"] += 1
