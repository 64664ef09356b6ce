"""`issuance billers`: who is plugged in, what their prices are sold as, and what is not translated."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from issuance.billers import billers, deliveries
from issuance.billers.billers import New
from issuance.cli.connections import BrandOption, brand_of, broker, engine, only_brand, transaction
from issuance.cli.files import text_of
from issuance.cli.output import JsonOption, answer, say, show_json, show_table
from issuance.cli.people import public_address
from issuance.errors import Invalid, NotFound
from issuance.fields import complaint, date_or_instant
from issuance.shown import number

app = typer.Typer(help="Billers plugged in: their webhooks, and their price maps.", no_args_is_help=True)
stripe = typer.Typer(help="Stripe plugged in.", no_args_is_help=True)
app.add_typer(stripe, name="stripe")
mapped = typer.Typer(help="Other billers, whose webhooks a mapping reads.", no_args_is_help=True)
app.add_typer(mapped, name="mapped")

BillerOption = Annotated[UUID, typer.Option("--biller", metavar="ID", help="The biller.")]


@stripe.command("add")
def add(
    brand: BrandOption = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="A file with the signing secret (whsec_…). Without it, it is asked for.")
    ] = None,
    secret_later: Annotated[
        bool, typer.Option("--secret-later", help="Stripe tells it with the endpoint: `billers secrets` gives it then.")
    ] = False,
    api_key_file: Annotated[
        Path | None, typer.Option(help="A file with an API key that may read: for reconcile, and members' own ids.")
    ] = None,
    _: JsonOption = False,
) -> None:
    """Plug in Stripe.

    The URL is for a webhook endpoint of Stripe's. Prints JSON, asked or not.
    """
    if secret_later and secret_file is not None:
        raise Invalid("Give the secret, or --secret-later.")
    brand_id = only_brand(brand)
    given: list[str] = []
    if secret_file is not None:
        given = [_checked(_read(secret_file))]
    elif not secret_later:
        given = [_checked(typer.prompt("Signing secret", hide_input=True, err=True))]
    api_key = _checked(_read(api_key_file)) if api_key_file is not None else None
    with transaction(brand_id) as connection:
        biller_id = billers.create(connection, brand_id, New("stripe", given, api_key))
    show_json({"biller_id": biller_id, "url": _url(biller_id)})


@mapped.command("add")
def add_mapped(
    mapping_file: Annotated[Path, typer.Option(help="The mapping, as JSON.")],
    secret_file: Annotated[Path, typer.Option(help="A file with the secret, or user:password.")],
    brand: BrandOption = None,
    _: JsonOption = False,
) -> None:
    """Plug in a biller whose webhooks a mapping reads (docs/write-an-adapter.md).

    Prints JSON, asked or not.
    """
    from issuance.billers.mapped.mapping import BillerMapping  # late: few have one

    brand_id = only_brand(brand)
    try:
        mapping = BillerMapping.model_validate_json(_read(mapping_file))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(step) for step in one['loc'])}: {complaint(one)}" for one in error.errors()[:5]
        )
        raise Invalid(f"This is no mapping: {wrong}") from None
    new = New("mapped", [_checked(_read(secret_file))], mapping=mapping.model_dump(mode="json", by_alias=True))
    with transaction(brand_id) as connection:
        biller_id = billers.create(connection, brand_id, new)
    show_json({"biller_id": biller_id, "url": _url(biller_id, "mapped")})


@app.command("map")
@stripe.command("map")
def map_price(
    biller: BillerOption,
    price: Annotated[str, typer.Argument(metavar="PRICE_OR_PRODUCT")],
    membership_type: Annotated[UUID | None, typer.Argument(metavar="TYPE_ID")] = None,
    switch: Annotated[bool, typer.Option("--switch", help="A change to it switches the running period.")] = False,
    ignore: Annotated[bool, typer.Option("--ignore", help="It is no membership's: pass it over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which membership type a price, or a product with all its prices, is sold as.

    What waited for it is translated by itself.
    """
    if (membership_type is None) != ignore:
        raise Invalid("Say either a TYPE_ID or --ignore.")
    brand_id = brand_of("biller", biller)
    with transaction(brand_id) as connection:
        current_period: billers.CurrentPeriod = "switch" if switch else "keep"
        entry = billers.put_price(connection, brand_id, biller, price, membership_type, current_period)
        waited = deliveries.retry(connection, brand_id, biller)
    _translate_soon(brand_id, biller)
    said = "is passed over" if ignore else f"is sold as {membership_type}"
    answer(f"{price} {said}. {_anew(waited)}", {**entry, "deliveries": waited}, as_json=as_json)


@app.command("secrets")
@stripe.command("secrets")
def secrets(
    biller: BillerOption,
    secret_file: Annotated[
        list[Path] | None, typer.Option(help="A file with a signing secret; two while one is rotated out.")
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="A file with another API key that may read.")] = None,
    no_api_key: Annotated[bool, typer.Option("--no-api-key", help="Take the API key away: it is not asked.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give Stripe's webhooks another signing secret, or two; and Stripe's API another key, or none."""
    files = secret_file or []
    if len(files) > 2 or not (files or api_key_file or no_api_key) or (api_key_file and no_api_key):
        raise Invalid("Give one secret, or two, or an API key, or --no-api-key.")
    brand_id = brand_of("biller", biller)
    with transaction(brand_id) as connection:
        if files:
            billers.replace_secrets(connection, brand_id, biller, [_checked(_read(file)) for file in files])
        if api_key_file is not None:
            billers.replace_api_key(connection, brand_id, biller, _checked(_read(api_key_file)))
        elif no_api_key:
            billers.replace_api_key(connection, brand_id, biller, None)
            deliveries.retry(connection, brand_id, biller, ("asking",))  # what waits for no answer any more
    said = ["its webhooks are signed so"] * bool(files) + ["it is asked with that key"] * bool(api_key_file)
    said += ["it is not asked"] * no_api_key
    answer(f"From now on {' and '.join(said)}.", {"biller_id": biller}, as_json=as_json)


@app.command("list")
@stripe.command("list")
@mapped.command("list")
def list_billers(brand: BrandOption = None, as_json: JsonOption = False) -> None:
    """List billers, their price maps, and what is not translated."""
    brand_id = only_brand(brand)
    with transaction(brand_id) as connection:
        rows, total = billers.page(connection, brand_id, 1, 100, most_prices=billers.MOST_PRICES)
        counted = deliveries.counts(connection, brand_id, [row["id"] for row in rows])
    for row in rows:
        row["url"] = _url(row["id"], row["kind"])
        row["untranslated"] = [one for one in counted if one["biller_id"] == row["id"]]
    if as_json:
        show_json({"data": rows, "meta": {"page": 1, "per_page": 100, "total": total}})
        return
    show_table(
        "Billers",
        rows,
        ("id", "kind", "url", "can_be_asked", "reconciled_at", "heard_at"),
        empty="No biller is plugged in.",
    )
    prices = [{"biller": row["id"], **price} for row in rows for price in row["prices"]]
    show_table(
        "Prices", prices, ("biller", "price", "membership_type_id", "current_period"), empty="No price is mapped."
    )
    columns = ("biller_id", "state", "code", "price", "deliveries", "since", "messages", "message")
    show_table("Not translated", counted, columns, empty="Everything that came is translated.")


@app.command("translate")
@stripe.command("translate")
def translate(biller: BillerOption, as_json: JsonOption = False) -> None:
    """Translate anew what could not be: after the map, or the adapter, was mended."""
    brand_id = brand_of("biller", biller)
    with transaction(brand_id) as connection:
        waited = deliveries.retry_by_hand(connection, brand_id, biller)
    _translate_soon(brand_id, biller)
    answer(_anew(waited), {"deliveries": waited}, as_json=as_json)


@stripe.command("reconcile")
def reconcile(
    biller: Annotated[
        UUID | None, typer.Option("--biller", metavar="ID", help="The biller; all where none is named.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="An instant or a date: what was made since.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="From the beginning: a dry run first; said again within an hour, it is done.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")] = False,
    brand: BrandOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask Stripe how everything stands, and tell what its webhooks did not.

    Without --since or --all: since the last time.
    """
    from issuance.billers import reconciling  # late: it brings every kind of biller

    instant = _instant(since)
    brand_id = brand_of("biller", biller) if biller is not None else only_brand(brand)
    done = []
    for biller_id in [biller] if biller is not None else _askable(brand_id):
        with transaction(brand_id) as connection:
            run_id = reconciling.start(
                connection, brand_id, biller_id, since=instant, everything=everything, dry_run=dry_run
            )
        done.append(_worked(brand_id, biller_id, run_id))
    failed = [run["error"] for run in done if run.get("error")]
    if as_json:
        show_json({"data": done})
    else:
        for run in done:
            _show(run)
    if failed:
        raise typer.Exit(1)


def _worked(brand_id: UUID, biller_id: UUID, run_id: UUID) -> dict[str, Any]:
    """Work on a run, unless a worker was quicker, and return it when it is done."""
    sender = broker()
    from issuance import hints  # late: they bring the queue and every kind of biller
    from issuance.billers import reconciling

    reconciling.work(engine(), brand_id, run_id, lambda ids: hints.settle(sender, brand_id, ids))
    hints.translate(sender, brand_id, biller_id)
    while True:
        with transaction(brand_id) as connection:
            run = reconciling.read(connection, brand_id, run_id)
        if run["state"] in ("finished", "cancelled", "paused"):
            return run
        time.sleep(0.25)


def _show(run: dict[str, Any]) -> None:
    if run.get("error"):
        say(run["error"])
    elif run["dry_run"]:
        result = run["result"]
        say(f"{run['done']} objects would tell {result['facts']} facts. Nothing was told yet.")
        show_table("Credits", result["credits"], ("coupon_name", "month", "now", "ahead"), empty="No credits.")
        if result["untold"]:
            show_table("Not told", result["untold"], ("code", "message", "objects"))
        say(f"Who would get which credit: issuance runs show {run['id']}")
        say(f"Tell it: issuance runs approve {run['id']}")
    else:
        say(f"Run {run['id']} is {run['state']}: {run['done']} objects.")
        counts = [{"what": what, "how_many": count} for what, count in run["counts"].items()]
        show_table("", counts, ("what", "how_many"), empty="There was nothing to tell.")


def _askable(brand_id: UUID) -> list[UUID]:
    with transaction(brand_id) as connection:
        rows, _ = billers.page(connection, brand_id, 1, 100)
    found = [row["id"] for row in rows if row["can_be_asked"]]
    if not found:
        raise NotFound("No biller is plugged in that can be asked: with an API key.")
    return found


def _instant(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        read = date_or_instant(since)
    except ValueError as error:
        raise Invalid(f"--since {error}") from None
    return read if isinstance(read, datetime) else datetime(read.year, read.month, read.day, tzinfo=UTC)


def _translate_soon(brand_id: UUID, biller_id: UUID) -> None:
    from issuance import hints  # late: it brings the queue

    hints.translate(broker(), brand_id, biller_id)


def _anew(waited: int) -> str:
    return f"{number(waited, 'delivery is', 'deliveries are')} translated anew."


def _read(file: Path) -> str:
    return text_of(file).strip()


def _checked(secret: str) -> str:
    if not (8 <= len(secret) <= 255 and secret.isascii() and secret.isprintable()):
        raise Invalid("That is no secret: it has 8 to 255 characters, all of them ASCII.")
    return secret


def _url(biller_id: UUID, kind: str = "stripe") -> str:
    return f"{public_address()}/billers/{kind}/{biller_id}"


@stripe.command("try")
def try_stripe() -> None:
    """Play a made-up club's year of signed Stripe webhooks against the running server.

    On a fresh sandbox brand: sign-ups with trials, a card that fails and is charged in the end, an upgrade, refunds, a
    dispute, a pause, a cancel at period end; each delivered twice, in no order. Shows who got what and why.
    """
    from issuance.cli import stripe_year  # late: it brings an HTTP client

    stripe_year.play()
