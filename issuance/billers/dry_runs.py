"""A dry run of reconciling: everything is read first, then told in one transaction that is rolled back."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import IO, Any

from sqlalchemy import Engine, Row, text

from issuance.billers import translation
from issuance.billers.adapter import Askable, Asked, CanNotBeAsked, Json, Listing, Translation, Unmappable
from issuance.billers.billers import Biller
from issuance.billers.known import KnownObjects
from issuance.database import transaction
from issuance.database.connections import undone
from issuance.memberships.dry_runs import DryRun

#: How many objects a dry run tells at once.
_AT_ONCE = 1000
#: Rows of a plan that are kept; the others are counted.
MOST_ROWS = 200_000
#: How many reasons why something can not be told are shown, the commonest first.
MOST_REASONS = 100

NOTE = text("""
    UPDATE reconciliations SET position = :position, next_at = clock_timestamp() + interval '2 minutes'
     WHERE brand_id = :brand_id AND run_id = :run_id
""")
COUNT = text("""
    WITH counted AS (
         INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size, finished_at, counts)
         SELECT :brand_id, :run_id, coalesce(max(batch), 0) + 1, :run_id, :run_id, :size, clock_timestamp(), :counts
           FROM run_batches WHERE brand_id = :brand_id AND run_id = :run_id)
    UPDATE runs SET total = total + :size WHERE brand_id = :brand_id AND run_id = :run_id
""")
# A part of the plan.
_ROWS = text("""
    INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size, finished_at, plan, planned)
    SELECT :brand_id, :run_id, coalesce(max(batch), 0) + 1, :run_id, :run_id, 0, clock_timestamp(), :plan, :planned
      FROM run_batches WHERE brand_id = :brand_id AND run_id = :run_id
""")
RESULT = text("""
    UPDATE reconciliations SET result = :result, error = :error WHERE brand_id = :brand_id AND run_id = :run_id
""")


def told_of(
    adapter: Askable, listing: Listing, page: Sequence[Json], known: KnownObjects, since: datetime | None
) -> list[Translation]:
    """What the objects of a page tell."""
    known.load({needed for body in page for needed in adapter.needs(body)})
    return [known.unless_unreadable(partial(adapter.reconcile, listing.name, body, known, since)) for body in page]


def pages_of(
    biller: Biller, adapter: Askable, asked: Asked, listing: Listing, after: str | None = None
) -> Iterator[list[Json]]:
    """The pages of a listing, with the objects of the brand's mode only. Raises CanNotBeAsked."""
    for page in asked.pages(listing.path, listing.parameters, after):
        if any(adapter.is_live(body) is biller.sandbox for body in page):
            mode, brand = ("live mode", "a sandbox") if biller.sandbox else ("test mode", "live")
            raise CanNotBeAsked(f"its API key is of {mode}, and the brand is {brand}")
        yield page


def work(
    engine: Engine, biller: Biller, adapter: Askable, asked: Asked, claimed: Row[Any], ids: dict[str, Any]
) -> None:
    """Find out what reconciling would tell. No transaction is open while the biller is asked."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        for listing in adapter.listings(claimed.since):
            for page in pages_of(biller, adapter, asked, listing):
                spool.writelines(json.dumps([listing.name, body]) + "\n" for body in page)
                with transaction(engine, biller.brand_id) as connection:
                    connection.execute(NOTE, {**ids, "position": "{}"})
        answers: dict[str, Json] = {}
        while keys := _paper(engine, biller, adapter, claimed, ids, spool, answers):
            answers |= {key: adapter.ask(asked, key) for key in sorted(keys)}


def _paper(
    engine: Engine,
    biller: Biller,
    adapter: Askable,
    claimed: Row[Any],
    ids: dict[str, Any],
    spool: IO[str],
    answers: dict[str, Json],
) -> set[str]:
    """Tell everything in a transaction that is undone. Returns what the biller has to be asked for before the result
    can be known."""
    wanted: set[str] = set()
    refs: dict[str, str] = {}
    rows: list[str] = []

    def keep(row: dict[str, Any]) -> None:
        if len(rows) < MOST_ROWS:
            rows.append(json.dumps(row | {"source_ref": refs.get(row["membership_id"])}))

    by_name = {listing.name: listing for listing in adapter.listings(claimed.since)}
    size, could_not = 0, Counter[Unmappable]()
    with undone(engine, biller.brand_id) as connection:
        dry_run = DryRun(connection, biller.brand_id)
        known = KnownObjects(connection, biller)
        told = known.learn(adapter, answers)
        translation.tell(connection, biller, adapter, told, dry_run.take)
        for name, page in _spooled(spool):
            told = told_of(adapter, by_name[name], page, known, claimed.since)
            translation.tell(connection, biller, adapter, told, dry_run.take)
            refs |= {str(one): ref for found in told for one, ref in found.refs.items()}
            if any(found.refs for found in told):  # how they have changed since they signed up
                told = told_of(adapter, by_name[name], page, known, claimed.since)
                translation.tell(connection, biller, adapter, told, dry_run.take)
            wanted |= {found.wait.key for found in told if found.wait is not None and found.wait.ask}
            if not by_name[name].after_sign_ups:  # a second look at the same objects
                could_not.update(found.unmappable for found in told if found.unmappable is not None)
            size += len(page)
        if wanted - answers.keys():
            return wanted - answers.keys()
        unmapped = {why.key for why in could_not if why.code == "unmapped_price" and why.key}
        result = {
            **dry_run.result(keep),
            "facts": sum(dry_run.accepted.values()),
            "told": dict(sorted(dry_run.accepted.items())),
            "unmapped": sorted(unmapped),
            "untold": [{**why._asdict(), "objects": n} for why, n in could_not.most_common(MOST_REASONS)],
        }
    counts = {**result["reasons"], "issued": sum(row["now"] for row in result["credits"])}
    with transaction(engine, biller.brand_id) as connection:
        connection.execute(COUNT, {**ids, "size": size, "counts": json.dumps({k: n for k, n in counts.items() if n})})
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            connection.execute(_ROWS, {**ids, "plan": f"[{','.join(some)}]", "planned": len(some)})
        connection.execute(RESULT, {**ids, "result": json.dumps(result, default=str), "error": None})
    return set()


def _spooled(spool: IO[str]) -> Iterator[tuple[str, list[Json]]]:
    """The objects that were read, in runs of one listing."""
    spool.seek(0)
    name, page = "", list[Json]()
    for line in spool:
        listing, body = json.loads(line)
        if page and (listing != name or len(page) >= _AT_ONCE):
            yield name, page
            page = []
        name = listing
        page.append(body)
    if page:
        yield name, page
