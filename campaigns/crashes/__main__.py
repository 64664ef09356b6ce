"""`./run crashes`: causes every possible fault at every step of every scenario, in real processes."""

import random
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from campaigns.crashes.matrix import Case, Matrix, Verdict
from campaigns.faults.orders import FAULTS
from campaigns.faults.site import running_site, stop_as_an_exception_does
from campaigns.receiver import running

#: Cases mostly wait: several sites run side by side.
_SITES = 2


def crashes(
    only: Annotated[str, typer.Option(metavar="TEXT", help="Only cases whose name has this in it.")] = "",
    fault: Annotated[str, typer.Option(metavar="KIND", help=f"Only this fault: {', '.join(FAULTS)}.")] = "",
    most: Annotated[int, typer.Option(metavar="N", help="No more than N cases, chosen by the seed; 0: all.")] = 0,
    seed: Annotated[int, typer.Option(help="The order of the cases.")] = 0,
    sites: Annotated[int, typer.Option(min=1, help="How many sites work on the cases.")] = _SITES,
) -> None:
    """Crash the processes at every step that the code takes. The result must be the same as without the crash.

    Exits 0 only if every case recovered.
    """
    console = Console()
    verdicts: list[Verdict] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="issuance-crashes-")))
        folder.chmod(0o755)  # PostgreSQL may run as another user
        matrices = [
            Matrix(stack.enter_context(running_site(folder / str(number))), stack.enter_context(running()))
            for number in range(sites)
        ]
        first, *others = matrices
        for scenario in first.watch():
            console.print(f"{scenario.name}: {len(first.steps[scenario.name])} steps")
        for other in others:
            other.undisturbed, other.steps = first.undisturbed, first.steps
        cases = [case for case in first.cases() if only in str(case) and fault in ("", case.fault)]
        # Mixed, so that no process falls time after time: a supervisor waits longer with each.
        random.Random(seed).shuffle(cases)
        cases = cases[: most or None]
        waiting: SimpleQueue[Case] = SimpleQueue()
        for case in cases:
            waiting.put(case)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("cases", total=len(cases))

            def work(matrix: Matrix) -> None:
                while True:
                    try:
                        case = waiting.get_nowait()
                    except Empty:
                        return
                    try:
                        verdict = matrix.run(case)
                    except Exception as error:  # a case's own failure is a verdict too
                        verdict = Verdict(case, wrong=[f"{type(error).__name__}: {error}"])
                    verdicts.append(verdict)
                    for line in verdict.wrong:
                        progress.console.print(f"{case}: {line}", style="red", highlight=False)
                    progress.advance(task)
                    if not console.is_terminal and len(verdicts) % 50 == 0:
                        console.print(f"{len(verdicts)} of {len(cases)}")

            threads = [threading.Thread(target=work, args=(matrix,), daemon=True) for matrix in matrices]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    _report(console, verdicts)
    recovered = sum(not verdict.wrong for verdict in verdicts)
    console.print(f"{recovered} of {len(cases)} cases recovered")
    raise typer.Exit(0 if recovered == len(cases) > 0 else 1)


def _report(console: Console, verdicts: list[Verdict]) -> None:
    by_fault = Counter(verdict.case.fault for verdict in verdicts)
    for fault, number in sorted(by_fault.items()):
        seconds = sorted(verdict.seconds for verdict in verdicts if verdict.case.fault == fault and not verdict.wrong)
        if seconds:
            p50, p99 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
            told = f"p50 {p50:.1f} s, p99 {p99:.1f} s, most {seconds[-1]:.1f} s"
            console.print(f"{fault:10} {number:4} cases, recovery {told}")


def main() -> None:
    stop_as_an_exception_does()
    typer.run(crashes)


if __name__ == "__main__":
    main()
