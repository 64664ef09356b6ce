"""`issuance runs`, `issue` and `replay`: start, watch and steer bulk work."""

import time
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from issuance.cli.connections import BrandOption, brand_of, broker, only_brand, transaction
from issuance.cli.dates import parse_date, parse_instant
from issuance.cli.listing import Listing, PageOption, show_page
from issuance.cli.output import JsonOption, answer, progress_bar, say, show_json, show_table
from issuance.cli.reasons import MaybeReasonOption, ReasonOption
from issuance.engine import runs
from issuance.errors import Invalid, NotSettledYet

LOOK_EVERY = 0.25  # seconds
#: Seconds without progress after which it seems that nobody works on a run.
PATIENCE = 60.0
FINISHED = ("finished", "cancelled")
#: How many runs a page of the list has.
A_PAGE = 25

RunArgument = Annotated[UUID, typer.Argument(metavar="RUN_ID")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Wait for the run and show its progress.")]

app = typer.Typer(cls=Listing, help="Runs: bulk work, its progress and outcome. Without a command: list them.")


@app.command("list")
def list_runs(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List the runs, the latest first."""
    columns = ("id", "kind", "state", "done", "total", "counts", "started_at", "finished_at")
    empty = "No runs yet."
    show_page("Runs", runs.page, columns, brand, page, as_json=as_json, empty=empty, per_page=A_PAGE)


@app.command("show")
def show(run_id: RunArgument, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """One run and its counts; of a dry run also the decisions, of an undo the redeemed credits."""
    from issuance.engine import plans, previews  # late: they decide

    brand_id = brand_of("run", run_id, brand)
    with transaction(brand_id) as connection:
        run = runs.read(connection, brand_id, run_id)
        has_plan = run["dry_run"] or run["kind"] in ("undo", "preview")
        forgotten = plans.is_forgotten(connection, brand_id, run_id)
        plan = plans.page(connection, brand_id, run_id, 1, 100)[0] if has_plan and not forgotten else None
        months = previews.by_month(connection, brand_id, run_id)
    show_run(run, plan, months, as_json=as_json)
    if forgotten and not as_json:
        say("The rows of its plan are not kept any more.")


@app.command("watch")
def watch(run_id: RunArgument, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Follow a run to its end."""
    follow(brand_of("run", run_id, brand), run_id, as_json=as_json)


@app.command("pause")
def pause(run_id: RunArgument, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Pause a run after its current batches."""
    brand_id = brand_of("run", run_id, brand)
    with transaction(brand_id) as connection:
        run = runs.pause(connection, brand_id, run_id)
    answer(f"Run {run_id} is paused. Go on: issuance runs resume {run_id}", run, as_json=as_json)


@app.command("resume")
def resume(run_id: RunArgument, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Continue a paused run."""
    brand_id = brand_of("run", run_id, brand)
    with transaction(brand_id) as connection:
        run = runs.resume(connection, brand_id, run_id)
    from issuance import hints  # late: it brings the queue

    hints.work_on_run(broker(), brand_id, run_id, batches=1)
    answer(f"Run {run_id} goes on.", run, as_json=as_json)


@app.command("cancel")
def cancel(run_id: RunArgument, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """End a run; what it has done stays."""
    brand_id = brand_of("run", run_id, brand)
    with transaction(brand_id) as connection:
        run = runs.cancel(connection, brand_id, run_id)
    answer(f"Run {run_id} is cancelled.", run, as_json=as_json)


@app.command("approve")
def approve(
    run_id: RunArgument,
    reason: MaybeReasonOption = None,
    brand: BrandOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do what a dry run's plan says, as a new run. Approved again, it is the same run."""
    from issuance.billers import reconciling  # late: it brings every kind of biller

    brand_id = brand_of("run", run_id, brand)
    with transaction(brand_id) as connection:
        approved = reconciling.approve(connection, brand_id, run_id, reason)
    approved.hint(broker(), brand_id)
    _started(brand_id, approved.run_id, watch=watch, as_json=as_json)


@app.command("undo")
def undo(
    what: Annotated[UUID, typer.Argument(metavar="RUN_ID|RULE", help="A run; or, with --version, a credit rule.")],
    reason: ReasonOption,
    version: Annotated[int | None, typer.Option("--version", help="The rule's version.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", metavar="INSTANT", parser=parse_instant, help="Issued from then on.")
    ] = None,
    brand: BrandOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take back for good the unredeemed credits of a run, or of a rule's version from an instant on, as a new run."""
    from issuance.engine import undos  # late: it settles

    if (version is None) != (since is None):
        raise Invalid("A rule's version is undone from an instant on: --version N --from INSTANT")
    brand_id = brand_of("run" if version is None else "credit rule", what, brand)
    with transaction(brand_id) as connection:
        if version is None or since is None:
            run_id = undos.start_of_run(connection, brand_id, what, reason)
        else:
            run_id = undos.start_of_version(connection, brand_id, what, version, since, reason)
    _started(brand_id, run_id, watch=watch, as_json=as_json)


def issue(
    credit_rule_id: Annotated[UUID, typer.Argument(metavar="RULE")],
    include_upcoming: Annotated[
        bool, typer.Option("--include-upcoming", help="Also memberships that are signed up but not billed yet.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan: decide everything, issue nothing.")] = False,
    membership_ids: Annotated[
        list[UUID] | None, typer.Option("--membership", metavar="ID", help="Only this membership; may be repeated.")
    ] = None,
    members: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="ID", help="Only this member, by the brand's id; may be repeated."),
    ] = None,
    reason: MaybeReasonOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Issue a rule's credit by hand, as a run.

    Every guest on the orders of the rule's membership type who holds none of its live credits gets one.
    """
    brand_id = brand_of("credit rule", credit_rule_id)
    with transaction(brand_id) as connection:
        run_id = runs.start_issue(
            connection,
            brand_id,
            credit_rule_id,
            include_upcoming=include_upcoming,
            dry_run=dry_run,
            membership_ids=membership_ids or None,
            external_user_ids=members or None,
            reason=reason,
        )
    _started(brand_id, run_id, watch=watch, as_json=as_json)


def replay(
    first: Annotated[date, typer.Option("--from", metavar="DATE", parser=parse_date, help="First date, YYYY-MM-DD.")],
    last: Annotated[date, typer.Option("--to", metavar="DATE", parser=parse_date, help="Last date, inclusive.")],
    credit_rule_id: Annotated[UUID | None, typer.Option("--rule", metavar="ID", help="Only this credit rule.")] = None,
    membership_type_id: Annotated[
        UUID | None, typer.Option("--type", metavar="ID", help="Only this membership type.")
    ] = None,
    membership_id: Annotated[
        UUID | None, typer.Option("--membership", metavar="ID", help="Only this membership.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan: decide everything, issue nothing.")] = False,
    brand: BrandOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the decisions of a span of dates again, as a run.

    Issues what is missing and touches nothing that is there; a second time it changes nothing.
    """
    targets = {"credit rule": credit_rule_id, "membership type": membership_type_id, "membership": membership_id}
    named = [(noun, target) for noun, target in targets.items() if target is not None]
    if not named and brand is None:
        raise Invalid("Say what to replay: --rule ID, --type ID, --membership ID, or --brand ID for all of a brand")
    brand_id = brand_of(*named[0], brand) if named else only_brand(brand)
    with transaction(brand_id) as connection:
        run_id = runs.start_replay(
            connection,
            brand_id,
            credit_rule_id=credit_rule_id,
            membership_type_id=membership_type_id,
            membership_id=membership_id,
            first=first,
            last=last,
            dry_run=dry_run,
        )
    _started(brand_id, run_id, watch=watch, as_json=as_json)


def follow(brand_id: UUID, run_id: UUID, *, as_json: bool) -> None:
    """Show the progress of a run until it is finished, cancelled or paused, and its result."""
    wait(brand_id, run_id)
    show(run_id, brand_id, as_json)


def wait(brand_id: UUID, run_id: UUID) -> None:
    """Wait until a run is finished, cancelled or paused. Raises NotSettledYet if it makes no progress."""
    last_seen, last_moved = -1, time.monotonic()
    with progress_bar() as progress:
        task = progress.add_task("run", total=None)
        while True:
            with transaction(brand_id) as connection:
                run = runs.read(connection, brand_id, run_id)
            progress.update(
                task, description=f"{run['kind']} {run['state']}", completed=run["done"], total=run["total"]
            )
            if run["state"] in (*FINISHED, "paused"):
                break
            if run["done"] != last_seen:
                last_seen, last_moved = run["done"], time.monotonic()
            elif time.monotonic() - last_moved > PATIENCE:
                raise NotSettledYet(f"Run {run_id} has not moved for {PATIENCE:.0f} s. Are the workers running?")
            time.sleep(LOOK_EVERY)


def show_run(
    run: dict[str, Any], plan: list[dict[str, Any]] | None, months: list[dict[str, Any]], *, as_json: bool
) -> None:
    """Show a run, its counts by reason, a preview's months, and a dry run's decisions."""
    if as_json:
        told = {**run, "months": months} if months else run
        show_json(told if plan is None else {**told, "plan": plan})
        return
    what = f"{run['kind']} {run['id']}{' (dry run)' if run['dry_run'] else ''}"
    asks = run["kind"] == "reconcile"
    say(f"{what}: {run['state']}, {run['done']} of {run['total']} {'objects' if asks else 'memberships'}")
    if run["error"]:
        say(run["error"])
    counts = [{"reason": reason, "credits": count} for reason, count in sorted(run["counts"].items())]
    if asks and not run["dry_run"]:
        facts = [{"what": one["reason"], "how_many": one["credits"]} for one in counts]
        if facts or not run["error"]:
            show_table("", facts, ("what", "how_many"), empty="There was nothing to tell.")
    elif months:
        show_table("Credits without the rule, and with it", months, ("month", "before", "after"))
    else:
        show_table("", counts, ("reason", "credits"), empty="Nothing was decided.")
    if plan:
        columns = [name for name in plan[0] if name not in ("facts", "text")]
        show_table("The plan (its first 100 rows)", plan, columns)


def _started(brand_id: UUID, run_id: UUID, *, watch: bool, as_json: bool) -> None:
    from issuance import hints  # late: it brings the queue

    hints.work_on_run(broker(), brand_id, run_id, batches=1)
    if watch:
        follow(brand_id, run_id, as_json=as_json)
        return
    with transaction(brand_id) as connection:
        run = runs.read(connection, brand_id, run_id)
    answer(f"Run {run_id} is started. Follow it: issuance runs watch {run_id}", run, as_json=as_json)
