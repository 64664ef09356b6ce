"""The timeline: what became of every period of every rule for a membership, as rows of cells (SEMANTICS 13)."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits import credits
from issuance.deciding.calendar import add_months, day_of
from issuance.memberships import explanations
from issuance.tenancy import clock as clocks

#: How many months are shown at once, and the most cells.
MONTHS, MOST_CELLS = 12, 1000

# The names of rules, deleted ones too, by their latest version.
_NAMES = text("""
    SELECT DISTINCT ON (credit_rule_id) credit_rule_id, coupon_name, issuing_frequency, deleted
      FROM rule_versions
     WHERE brand_id = :brand_id AND credit_rule_id = ANY(:ids)
     ORDER BY credit_rule_id, version DESC
""")
# What was told of charges and of the status: since when it counts, and when it came.
_TOLD = text("""
    SELECT type, time, received_at, charge_id, data ->> 'status' AS status
      FROM billing_events
     WHERE brand_id = :brand_id AND membership_id = :membership_id
       AND (charge_id = ANY(:charge_ids) OR type = 'membership.status_changed')
     ORDER BY time, received_at
""")


@dataclass(slots=True)
class Row:
    """A rule for one guest, with its cells by month."""

    credit_rule_id: UUID
    rule: Any
    guest: dict[str, Any]
    cells: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: How often each state is in the row; a row with one and the same refusal everywhere says it once.
    states: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The months, the rows, and the cell that is open, if one is."""

    months: list[date]
    rows: list[Row]
    open: dict[str, Any] | None
    total: int
    charges_for_nothing: list[dict[str, Any]]
    today: date


def read(
    connection: Connection, brand_id: UUID, membership_id: UUID, *, until: date | None = None, opened: str | None = None
) -> Timeline:
    """The timeline of a membership for MONTHS months, up to the month of `until` (by default, of what comes next).

    `opened` names the cell that is open. Raises NotFound, TooMuchToExplain.
    """
    clock = clocks.read(connection, brand_id)
    today = day_of(clock.now, clock.zone)
    last_month = (until or add_months(today.replace(day=1), 1)).replace(day=1)
    first = add_months(last_month, 1 - MONTHS)
    last = add_months(last_month, 1) - timedelta(days=1)
    told = explanations.explain(
        connection, brand_id, membership_id, first=first, last=last, page=1, per_page=MOST_CELLS
    )
    ids = [UUID(row["facts"]["credit_id"]) for row in told.rows if row["facts"]["credit_id"] is not None]
    issued = credits.by_id(connection, brand_id, ids, clock.now)
    names = connection.execute(
        _NAMES, {"brand_id": brand_id, "ids": list({row["credit_rule_id"] for row in told.rows})}
    )
    rules = {row.credit_rule_id: row for row in names}
    rows: dict[tuple[UUID, UUID], Row] = {}
    found = None
    for told_row in told.rows:
        key = (told_row["guest"]["id"], told_row["credit_rule_id"])
        row = rows.setdefault(
            key, Row(told_row["credit_rule_id"], rules[told_row["credit_rule_id"]], told_row["guest"])
        )
        cell = _cell(told_row, issued)
        row.states[cell["state"]] += 1
        begins_on = day_of(datetime.fromisoformat(cell["facts"]["starts_at"]), clock.zone)
        row.cells.setdefault(f"{begins_on:%Y-%m}", []).append(cell)
        if opened is not None and cell["name"] == opened:
            found = {**cell, "rule": row.rule, "told": _told(connection, brand_id, membership_id, cell["facts"])}
    months = [add_months(first, number) for number in range(MONTHS)]
    begun = min((month for row in rows.values() for month in row.cells), default="")
    months = [month for month in months if f"{month:%Y-%m}" >= begun or month.replace(day=1) >= today.replace(day=1)]
    ordered = sorted(rows.values(), key=lambda row: (not row.guest["lead_booker"], str(row.guest["id"])))
    return Timeline(months, ordered, found, told.total, told.charges_for_nothing, today)


def _told(connection: Connection, brand_id: UUID, membership_id: UUID, facts: dict[str, Any]) -> dict[str, Any]:
    """When the events came that decided a cell: those of its `charges` by id, the one that set its status (`since`),
    and the one that changed it again (`until`); None where no event of its own did."""
    charges = [*facts["charges"], *facts["open_charges"], *filter(None, [facts["nearest_charge"]])]
    which = {"brand_id": brand_id, "membership_id": membership_id}
    ids = list({charge["charge_id"] for charge in charges})
    rows = connection.execute(_TOLD, {**which, "charge_ids": ids}).all()
    begins = datetime.fromisoformat(facts["starts_at"])
    changes = [row for row in rows if row.status is not None]
    before = [row for row in changes if row.time <= begins][-1:]
    since = before[0] if before and before[0].status == facts["status_at_start"] else None
    return {
        "charges": {charge_id: [row for row in rows if row.charge_id == charge_id] for charge_id in ids},
        "since": since,
        "until": next((row for row in changes if since is not None and row.time > begins), None),
    }


def _cell(row: dict[str, Any], issued: dict[UUID, dict[str, Any]]) -> dict[str, Any]:
    credit_id = row["facts"]["credit_id"]
    credit = issued.get(UUID(credit_id)) if credit_id is not None else None
    name = f"{row['credit_rule_id']}.{row['guest']['id']}.{row['period_start']}"
    return {**row, "name": name, "credit": credit, "state": _state(row, credit)}


def _state(row: dict[str, Any], credit: dict[str, Any] | None) -> str:
    """What a cell says: the status of its credit; if there is no credit, what was decided."""
    if credit is None:
        return str(row["outcome"])
    if credit["status"] == "redeemed" or (credit["uses"] and credit["status"] == "live"):
        return "used"
    return str(credit["status"])
