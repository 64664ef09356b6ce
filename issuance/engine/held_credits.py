"""What a guard holds back, written in the transaction in which it would have gone out (SEMANTICS 17)."""

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.engine import guard_limits
from issuance.engine.rows import columns_of, id_array, unnest
from issuance.engine.settled import Settled
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox

_KEY = {
    "membership_id": "uuid",
    "credit_rule_id": "uuid",
    "place": "integer",
    "period_start": "date",
    "reissue": "integer",
}
_HELD = {**_KEY, "held_at": "timestamptz", "manual": "boolean"}
# A credit that is owed waits in place of a manual one with its key. A manual credit that was refused can be held again.
# A credit that is owed again is as old as it was.
_HOLD = text(f"""
    INSERT INTO held_credits (brand_id, membership_id, guest_id, credit_rule_id, period_start, reissue, held_at, manual,
                              run_id)
    SELECT :brand_id, g.membership_id, g.guest_id, held.credit_rule_id, held.period_start, held.reissue, held.held_at,
           held.manual, CASE WHEN held.manual THEN CAST(:run_id AS uuid) END
      FROM {unnest("held", **_HELD)}
      JOIN guests_of(:brand_id, CAST(:ids AS uuid[])) g ON (g.membership_id, g.place) = (held.membership_id, held.place)
    ON CONFLICT (brand_id, membership_id, credit_rule_id, period_start, reissue, guest_id) DO UPDATE
       SET state = 'waiting', manual = EXCLUDED.manual, run_id = EXCLUDED.run_id,
           held_at = CASE WHEN EXCLUDED.manual OR held_credits.state = 'refused'
                          THEN EXCLUDED.held_at ELSE held_credits.held_at END
     WHERE held_credits.state = 'lapsed' OR (held_credits.manual AND held_credits.state = 'refused')
        OR (held_credits.manual AND held_credits.state = 'waiting' AND NOT EXCLUDED.manual)
""")
_LAPSE = text(f"""
    UPDATE held_credits h SET state = 'lapsed'
      FROM {unnest("gone", **_KEY)}
      JOIN guests_of(:brand_id, CAST(:ids AS uuid[])) g ON (g.membership_id, g.place) = (gone.membership_id, gone.place)
     WHERE h.brand_id = :brand_id AND h.membership_id = gone.membership_id AND h.guest_id = g.guest_id
       AND (h.credit_rule_id, h.period_start, h.reissue) = (gone.credit_rule_id, gone.period_start, gone.reissue)
""")
# A later manual issue may issue it again.
_FORGET = text("""
    DELETE FROM held_credits
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])) AND manual AND state = 'lapsed'
""")
# Whoever holds the rule at the same time waits here for the first.
_HOLD_RULE = text("""
    INSERT INTO held_rules (brand_id, credit_rule_id, since, most) VALUES (:brand_id, :rule_id, :since, :most)
    ON CONFLICT (brand_id, credit_rule_id) DO NOTHING
""")


def write(
    connection: Connection, brand_id: UUID, settled: Sequence[Settled], told: Set[str], run_id: UUID | None
) -> None:
    """Write what outcomes hold back, hold the rules of it, and let lapse what is not owed any more. Costs nothing where
    there is none. `told`: the types of events that webhooks listen to; `run_id`: the run that settles, which alone can
    have asked for something by hand."""
    # A new credit may have the key of one that lapses.
    gone = [(one, *key) for some in settled for key in some.outcome.lapsed for one in some.ids]
    if gone:
        parameters = {"brand_id": brand_id, **_which(gone)}
        connection.execute(_LAPSE, {**parameters, **columns_of("gone", _KEY, gone)})
        connection.execute(_FORGET, parameters)
    held = [
        (one, *held.key, held.at, held.manual) for some in settled for held in some.outcome.held for one in some.ids
    ]
    if held:
        asked = {"brand_id": brand_id, "run_id": run_id}
        connection.execute(_HOLD, {**asked, **_which(held), **columns_of("held", _HELD, held)})
        since = {row[1]: row[-2] for row in sorted(held, key=lambda row: row[-2], reverse=True)}
        for rule_id in sorted(since):
            _hold_rule(connection, brand_id, rule_id, since[rule_id], sum(row[1] == rule_id for row in held), told)


def _which(rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    return {"ids": id_array(dict.fromkeys(row[0] for row in rows))}


def _hold_rule(
    connection: Connection, brand_id: UUID, rule_id: UUID, since: datetime, number: int, told: Set[str]
) -> None:
    zone = clocks.read(connection, brand_id).zone
    most = guard_limits.most(connection, brand_id, rule_id, since, zone)
    rule = {"brand_id": brand_id, "rule_id": rule_id, "since": since, "most": most or 0}
    if connection.execute(_HOLD_RULE, rule).rowcount and "rule.held" in told:
        data = {"credit_rule_id": rule_id, "held": number, "since": since, "limit": most}
        outbox.add(connection, brand_id, "rule.held", data, occurred_at=since)
