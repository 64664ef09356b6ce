"""Write what settling came to, in a few set-based statements for any number of memberships."""

import json
from collections.abc import Iterator, Sequence, Set
from datetime import date, datetime
from itertools import chain
from uuid import UUID

from sqlalchemy import Connection

from issuance.credits import journal
from issuance.credits.credits import STILL_OUT
from issuance.database.statements import Statement
from issuance.deciding.movements import Movement
from issuance.engine import announcements, held_credits, new_credits, read_models, reminders
from issuance.engine.announcements import Happened, became
from issuance.engine.bisection import Raced
from issuance.engine.outcome import Outcome
from issuance.engine.rows import Shared, Updating, id_array
from issuance.engine.settled import Settled, by_outcome

# Each statement expires the credits of one period, so that the index of the credit's key finds just them among many
# older ones. Credits that were redeemed or revoked meanwhile are left alone.
_EXPIRY = f"""
    UPDATE credits SET expired_at = :expired_at
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND credit_rule_id = :credit_rule_id AND period_start = :period_start AND reissue = :reissue
       AND {STILL_OUT} AND expired_at IS NULL
"""
_EXPIRE = Statement(_EXPIRY)
_EXPIRE_AND_TELL = Statement(f"{_EXPIRY} RETURNING credit_id")
# What was read must still be true: redemptions and an operator's revocations do not wait for settling.
_CHANGE = Updating(
    """
    UPDATE credits c
       SET valid_from = kinds.valid_from, period_end = kinds.period_end,
           expires_at = kinds.expires_at, validity_ends_at = kinds.validity_ends_at,
           revoked_at = kinds.revoked_at, revoked_by = kinds.revoked_by, expired_at = kinds.expired_at,
           flagged_at = kinds.flagged_at,
           revoked_reason = CASE WHEN kinds.revoked_at IS NOT NULL
                                 THEN coalesce(kinds.revoked_reason, c.revoked_reason) END
      FROM {kinds}
     WHERE c.brand_id = :brand_id AND {its_ids} AND {its_kind}
       AND c.uses = kinds.was_uses
       AND c.redeemed_at IS NOT DISTINCT FROM kinds.was_redeemed_at
       AND c.revoked_at IS NOT DISTINCT FROM kinds.was_revoked_at
       AND c.revoked_by IS NOT DISTINCT FROM kinds.was_revoked_by
    """,
    key="c.credit_id",
    shared={
        "was_uses": "integer",
        "was_redeemed_at": "timestamptz",
        "was_revoked_at": "timestamptz",
        "was_revoked_by": "text",
        "valid_from": "timestamptz",
        "period_end": "date",
        "expires_at": "timestamptz",
        "validity_ends_at": "timestamptz",
        "revoked_at": "timestamptz",
        "revoked_by": "text",
        "revoked_reason": "text",
        "expired_at": "timestamptz",
        "flagged_at": "timestamptz",
    },
)
_EVENTS_SETTLED = Statement("""
    UPDATE billing_events SET settled_at = clock_timestamp()
     WHERE brand_id = :brand_id AND source = :source
       AND event_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(:event_ids AS jsonb))))
    RETURNING CAST(extract(epoch FROM settled_at - received_at) AS double precision)
""")


def write(
    connection: Connection,
    brand_id: UUID,
    settled: Sequence[Settled],
    *,
    told: Set[str],
    run_id: UUID | None = None,
    by_hand: bool = False,
    waited: list[float],
) -> None:
    """Write what settling came to for memberships. Raises Raced if a credit changed since it was read. `told`: the
    types of events that webhooks listen to; `waited`: where it is noted for how long (in seconds) each event had waited
    that was settled.

    The run is stamped on manual credits if it is a manual one (`by_hand`), otherwise on scheduled ones. What a person
    let out is the run's that asked for it by hand.
    """
    outcomes = by_outcome(settled)
    plain = [(outcome, some) for outcome, some in outcomes if outcome.only_issues_and_expires]
    plain_ids = {id(outcome) for outcome, _ in plain}
    others = [one for one in settled if id(one.outcome) not in plain_ids]  # as they are: a group has a plain outcome
    read_models.write_guests(connection, brand_id, settled)  # credits name them
    held_credits.write(connection, brand_id, settled, told, run_id)
    happened = new_credits.issue(connection, brand_id, settled, told, run_id=run_id, by_hand=by_hand)
    happened += _expire(connection, brand_id, plain, told)
    happened += _change(connection, brand_id, others)
    journal.note(connection, brand_id, _moved(settled))
    read_models.write_listed(connection, brand_id, outcomes)
    read_models.write_charges(connection, brand_id, settled)
    just_settled = _settle_events(connection, brand_id, settled)
    announcements.announce(connection, brand_id, settled, happened, told)
    if "credit.expiring" in told:
        reminders.tell(connection, brand_id, settled)
    waited += just_settled


def _moved(settled: Sequence[Settled]) -> Iterator[tuple[UUID, Movement]]:
    """The movements to journal of credits that were issued before."""
    for one in settled:
        for key, moved in one.outcome.moved.items() if one.itself else ():
            credit_id = one.membership.credit_ids.get(key)
            if credit_id is not None:
                yield from ((credit_id, movement) for movement in moved)


def _expire(
    connection: Connection, brand_id: UUID, plain: Sequence[tuple[Outcome, Sequence[Settled]]], told: Set[str]
) -> list[Happened]:
    """Mark the credits of a period as expired, if those of all guests expire at one instant."""
    ids: dict[tuple[UUID, date, int, datetime], list[str]] = {}
    for outcome, some in plain:
        for which in outcome.expired:
            ids.setdefault(which, []).extend(id_ for one in some for id_ in one.ids)
    happened: list[Happened] = []
    for (credit_rule_id, period_start, reissue, expired_at), those in ids.items():
        which_of_all = {
            "brand_id": brand_id,
            "ids": id_array(those),
            "credit_rule_id": credit_rule_id,
            "period_start": period_start,
            "reissue": reissue,
            "expired_at": expired_at,
        }
        if "credit.expired" in told:
            found = _EXPIRE_AND_TELL.column(connection, which_of_all)
            happened += [Happened(expired_at, "credit.expired", credit_id) for credit_id in found]
        else:
            _EXPIRE.written(connection, which_of_all)
    return happened


def _change(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> list[Happened]:
    """Update issued credits. Only for memberships that were loaded themselves, as their outcomes do more than to issue
    and to expire."""
    changes: dict[UUID, Shared] = {}
    happened: list[Happened] = []
    for one in settled:
        assert one.itself, "only a membership that was loaded itself changes credits"
        for key, change in one.outcome.changed.items():
            before, after, why = change.before, change.after, change.why
            credit_id = one.membership.credit_ids[key]
            was = (before.uses, before.redeemed_at, before.revoked_at, before.revoked_by)
            reason = why.value if why is not None and after.revoked_by == "facts" else None
            revoked = (after.revoked_at, after.revoked_by, reason)
            ends = (after.valid_from, after.period_end, after.expires_at, after.validity_ends_at)
            changes[credit_id] = (*was, *ends, *revoked, after.expired_at, after.flagged_at)
            happened += became(credit_id, before, after, one.outcome.now)
    if _CHANGE.execute(connection, changes, brand_id=brand_id) != len(changes):
        raise Raced
    return happened


def _settle_events(connection: Connection, brand_id: UUID, settled: Sequence[Settled]) -> list[float]:
    event_ids: dict[str, list[str]] = {}
    for one in settled:
        if one.outcome.complete and one.events:
            for source, event_id in chain.from_iterable(map(one.events.__getitem__, one.ids)):
                event_ids.setdefault(source, []).append(event_id)
    waited: list[float] = []
    for source, ids in event_ids.items():
        parameters = {"brand_id": brand_id, "source": source, "event_ids": json.dumps(ids)}
        waited += _EVENTS_SETTLED.column(connection, parameters)
    return waited
