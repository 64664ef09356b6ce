"""Settle a batch of memberships in one transaction. A membership that can not be decided is set apart
in it; its neighbours go through."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from issuance.deciding.facts import Rule
from issuance.deciding.reasons import Reason
from issuance.engine import attempts
from issuance.engine.alike import settle_alike
from issuance.engine.loading import BY_IDS, Membership, load, load_rules
from issuance.engine.piecewise import Raced, write_piecewise
from issuance.engine.refusing import refuse_misfits
from issuance.engine.rows import id_array
from issuance.engine.sharing import SharedWalks
from issuance.engine.walking import Walked
from issuance.engine.writing import write
from issuance.log import logger
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock

#: So many memberships are in memory at once.
_AT_ONCE = 1000

#: What is done with each membership of a batch besides settling it; returns what to count of it.
Also = Callable[[Walked, Sequence[Rule]], Counter[Reason]]


def settle_memberships(connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]) -> Counter[Reason]:
    """Settle these memberships, due or not, their attempts having begun. Unknown ids are passed over.
    Returns new outcomes by reason."""
    clock = clocks.read(connection, brand_id, hold=True)
    memberships = load(connection, brand_id, clock.zone, BY_IDS, ids=id_array(membership_ids))
    return settle_loaded(connection, brand_id, clock, memberships, attempt_counted=True)


def settle_due(
    connection: Connection,
    brand_id: UUID,
    first_id: UUID,
    last_id: UUID,
    run_id: UUID,
    *,
    attempt_counted: bool = False,
) -> Counter[Reason]:
    """Settle what is due within a range of membership ids, those that are alike at one stroke."""
    clock = clocks.read(connection, brand_id, hold=True)
    counts, left = settle_alike(
        connection, brand_id, clock, run_id, attempt_counted=attempt_counted, first_id=first_id, last_id=last_id
    )
    for start in range(0, len(left), _AT_ONCE):
        memberships = load(connection, brand_id, clock.zone, BY_IDS, ids=id_array(left[start : start + _AT_ONCE]))
        counts += settle_loaded(
            connection, brand_id, clock, memberships, run_id=run_id, attempt_counted=attempt_counted
        )
    return counts


def settle_loaded(
    connection: Connection,
    brand_id: UUID,
    clock: BrandClock,
    memberships: Sequence[Membership],
    *,
    run_id: UUID | None = None,
    also: Also | None = None,
    attempt_counted: bool = False,
) -> Counter[Reason]:
    """Settle memberships that are loaded and locked, do `also` with each, and write it all.

    With `also` the run is one of manual issue: it counts and stamps only what `also` did.
    """
    rules = load_rules(connection, brand_id, memberships, hold=True)
    shared = SharedWalks(rules, clock)
    walks: list[tuple[Walked, Counter[Reason]]] = []
    failed: list[tuple[Membership, Exception]] = []
    for membership in memberships:
        refuse_misfits(connection, brand_id, membership)
        rules_of_type = rules[membership.row.membership_type_id]
        try:
            walked = shared.walk(membership)
            walks.append((walked, walked.counts if also is None else also(walked, rules_of_type)))
        except Exception as error:
            failed.append((membership, error))

    def write_some(some: Sequence[tuple[Walked, Counter[Reason]]]) -> None:
        write(connection, brand_id, [walked for walked, _ in some], run_id=run_id, by_hand=also is not None)

    refused = write_piecewise(connection, walks, write_some)
    raced = [walked.membership.membership_id for (walked, _), why in refused if isinstance(why, Raced)]
    failed += ((walked.membership, why) for (walked, _), why in refused if not isinstance(why, Raced))
    for membership, why in failed:
        attempts.failed(connection, brand_id, membership.membership_id, why, counted=attempt_counted)
    apart = {*raced, *(membership.membership_id for membership, _ in failed)}
    done = [(walked, counts) for walked, counts in walks if walked.membership.membership_id not in apart]
    if run_id is None or logging.getLogger().isEnabledFor(logging.DEBUG):
        _log(brand_id, run_id, [walked for walked, _ in done])
    total = sum((counts for _, counts in done), Counter({Reason.ERROR: len(failed)}))
    if raced:
        memberships = load(connection, brand_id, clock.zone, BY_IDS, ids=id_array(raced))
        total += settle_loaded(
            connection, brand_id, clock, memberships, run_id=run_id, also=also, attempt_counted=attempt_counted
        )
    return total


def _log(brand_id: UUID, run_id: UUID | None, walks: Sequence[Walked]) -> None:
    """A line a credit; for the many of a run only at the level `debug`, its batches have lines of their own."""
    say = logger.info if run_id is None else logger.debug
    for walked in walks:
        for credit, _ in walked.issued:
            say(
                "credit_issued",
                brand=str(brand_id),
                run=run_id and str(run_id),
                membership=str(walked.membership.membership_id),
                rule=str(credit.key.credit_rule_id),
                occurrence=credit.key.period_start.isoformat(),
                outcome=Reason.ISSUED.value,
            )
