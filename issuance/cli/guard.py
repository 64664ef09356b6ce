"""`issuance guard` and `issuance held`: the limit of a brand's rules, and what it holds."""

from decimal import Decimal, InvalidOperation
from typing import Annotated
from uuid import UUID

import typer

from issuance.cli.connections import BrandOption, brand_of, only_brand, transaction
from issuance.cli.listing import Listing, PageOption, show_page
from issuance.cli.output import JsonOption, answer
from issuance.cli.reasons import ReasonOption
from issuance.engine import guard_limits, held_rules
from issuance.shown import number

held = typer.Typer(cls=Listing, help="Rules that the guard holds. Without a command: list them.")

RuleArgument = Annotated[UUID, typer.Argument(metavar="RULE")]


def _positive(text: str) -> Decimal:
    try:
        times = Decimal(text)
    except InvalidOperation:
        times = Decimal(0)
    if not (times.is_finite() and 0 < times <= 1_000_000):
        raise typer.BadParameter(f"{text!r} is not a number above 0")
    return times


def guard(
    max_per_day: Annotated[
        int | None,
        typer.Option("--max-per-day", min=1, max=2_000_000_000, help="Credits of a rule in 24 hours, at most."),
    ] = None,
    times_busiest_day: Annotated[
        Decimal | None,
        typer.Option("--times-busiest-day", parser=_positive, metavar="N", help="Times its busiest day, at most."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="No limit any more.")] = False,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set a brand's guard: what a rule may issue in a day. Options replace both limits."""
    if off and (max_per_day is not None or times_busiest_day is not None):
        raise typer.BadParameter("--off takes both limits away: give none beside it")
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        if off or max_per_day is not None or times_busiest_day is not None:
            limits = guard_limits.put(
                connection, brand_id, max_per_day=max_per_day, times_busiest_day=times_busiest_day
            )
        else:
            limits = guard_limits.read(connection, brand_id)
    said = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
    answer(f"Guard: {said or 'none'}", limits, as_json=as_json)


@held.command("list")
def list_held(brand: BrandOption = None, page: PageOption = 1, as_json: JsonOption = False) -> None:
    """List the rules that the guard holds."""
    columns = ("credit_rule_id", "held", "since", "limit")
    show_page("Held rules", held_rules.page, columns, brand, page, as_json=as_json, empty="No rule is held.")


@held.command("approve")
def approve(rule: RuleArgument, reason: ReasonOption, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Let out what is held of a rule now, beyond the limit too."""
    brand_id = brand_of("credit rule", rule, brand)
    with transaction(brand_id) as connection:
        row = held_rules.approve(connection, brand_id, rule, reason)
    answer(f"{number(row['held'], 'credit', 'credits')} of rule {rule} let out.", row, as_json=as_json)


@held.command("refuse")
def refuse(rule: RuleArgument, reason: ReasonOption, brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """Skip for good what is held of a rule now."""
    brand_id = brand_of("credit rule", rule, brand)
    with transaction(brand_id) as connection:
        row = held_rules.refuse(connection, brand_id, rule, reason)
    answer(f"{number(row['held'], 'credit', 'credits')} of rule {rule} refused.", row, as_json=as_json)
