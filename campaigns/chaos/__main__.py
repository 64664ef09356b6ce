"""`./run chaos`: causes faults of every kind at random moments, then checks the laws."""

import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from campaigns.brokers import servers
from campaigns.chaos import campaign
from campaigns.chaos.campaign import Account, Happened, Plan
from campaigns.chaos.faults import FAULTS, Fault
from campaigns.chaos.rabbitmq import faults_of
from campaigns.faults.site import running_site, stop_as_an_exception_does

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def chaos(
    members: Annotated[int, typer.Option(help="Memberships of the club whose months pass meanwhile.")] = 20_000,
    faults: Annotated[int, typer.Option(help="How many faults.")] = 60,
    seed: Annotated[int | None, typer.Option(help="Of the faults and their moments; shown when not given.")] = None,
    gap: Annotated[float, typer.Option(help="Seconds from one fault to the next, on average.")] = 1.0,
    lasting: Annotated[float, typer.Option(help="Seconds that a lasting fault (SIGSTOP …) lasts.")] = 2.0,
    only: Annotated[str, typer.Option(metavar="TEXT", help="Only faults whose name has this in it.")] = "",
    soak: Annotated[str, typer.Option(metavar="TIME", help="Instead: a fault every 30 s for so long, as 30m.")] = "",
    rabbitmq: Annotated[bool, typer.Option("--rabbitmq", help="With RabbitMQ (Debian's) in Valkey's place.")] = False,
) -> None:
    """Cause faults of every kind in a whole `./run` under load, and account for every credit afterwards.

    Exits 0 only if nothing was lost, doubled or early.
    """
    seed = int(time.time()) if seed is None else seed
    plan = Plan(members, faults, seed, gap, lasting, only=only)
    if soak:
        plan = Plan(members, 0, seed, 30.0, lasting, _seconds(soak), only)
    console = Console()
    console.print(f"seed {seed}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="issuance-chaos-", ignore_cleanup_errors=True) as folder,
        Progress(*columns, console=console) as progress,
    ):
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        signing = progress.add_task("members", total=members)
        raging = progress.add_task("faults", total=plan.faults or int(plan.soak // plan.gap) + 1)

        def signed_up(number: int) -> None:
            progress.update(signing, completed=number)

        def fault_over(_: Happened) -> None:
            progress.advance(raging)

        with ExitStack() as stack:
            causes: Mapping[str, Fault] = FAULTS
            url = None
            if rabbitmq:
                broker = stack.enter_context(servers.rabbitmq(Path(folder)))
                causes, url = faults_of(broker), broker.url
            site = stack.enter_context(running_site(Path(folder) / "home", url))
            account = campaign.run(site, plan, signed_up, fault_over, causes)
    report(console, account, memory=bool(soak))
    raise typer.Exit(1 if account.wrong else 0)


def report(console: Console, account: Account, *, memory: bool) -> None:
    """Counts and recovery times by fault, and what is wrong."""
    for name in sorted({fault.name for fault in account.happened}):
        _line(console, name, [fault for fault in account.happened if fault.name == name])
    _line(console, "all", account.happened)
    if memory:
        _memory(console, account)
    console.print(
        f"{account.months} months passed, {account.credits} credits, {account.songs} canaries, {account.seconds:.0f} s"
    )
    for wrong in account.wrong:
        console.print(wrong, style="red", highlight=False)
    console.print("nothing lost, doubled or early" if not account.wrong else f"{len(account.wrong)} things are wrong")


def _line(console: Console, name: str, happened: list[Happened]) -> None:
    times = sorted(fault.recovered_in for fault in happened if fault.recovered_in is not None)
    if times:
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        console.print(f"{name:28} {len(happened):5}   p50 {p50:5.1f} s   p99 {p99:5.1f} s   most {times[-1]:5.1f} s")


def _memory(console: Console, account: Account) -> None:
    """The memory of each process: the medians of the second and of the last quarter of the time, in MB."""
    quarter = len(account.memory) // 4
    if not quarter:
        return
    for name in sorted(account.memory[-1][1]):
        early, late = (
            sorted(used.get(name, 0) for _, used in part)[quarter // 2] / 1e6
            for part in (account.memory[quarter : 2 * quarter], account.memory[-quarter:])
        )
        console.print(f"memory of {name:16} {early:6.0f} MB early, {late:6.0f} MB late")


def _seconds(told: str) -> float:
    found = re.fullmatch(r"(\d+)([smh])", told)
    if found is None:
        raise typer.BadParameter("a number and s, m or h: 30m", param_hint="--soak")
    return float(found[1]) * _SECONDS[found[2]]


def main() -> None:
    stop_as_an_exception_does()
    typer.run(chaos)


if __name__ == "__main__":
    main()
