"""Parts, rounds and medians.

A part measures one thing once. In a round each part is measured once, one after the other, so that whatever the machine
does besides is shared by all; the medians over the rounds are what is told, and their ratios are what counts.
"""

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.samples import Part, Row, Unavailable

#: What happened, for people: never on stdout, which is for the figures.
console = Console(stderr=True)


def run(parts: Sequence[Part], rounds: int) -> list[Row]:
    """Measures every part `rounds` times, in turn. A part that can not be measured says why and is left out."""
    return run_beside([parts], rounds)[0]


def run_beside(sides: Sequence[Sequence[Part]], rounds: int) -> list[list[Row]]:
    """The same parts of several sides: a round measures each part for every side, turn by turn; the rows of each side.

    Which side goes first changes from turn to turn. A part that a side does not have is measured without it.
    """
    rows = [[Row(part.name, part.title) for part in parts] for parts in sides]
    found = [list(zip(parts, of, strict=True)) for parts, of in zip(sides, rows, strict=True)]
    names = dict.fromkeys(part.name for parts in sides for part in parts)
    turns = [[one for side in found for one in side if one[0].name == name] for name in names]
    with progress_bar() as progress:
        task = progress.add_task("", total=sum(map(len, turns)) * (rounds + 1))

        def attempt(row: Row, what: str, work: Callable[[], None]) -> None:
            progress.update(task, description=f"{what}: {row.name}")
            if not row.note:
                try:
                    work()
                except Unavailable as reason:
                    row.note = f"not measured: {reason}"
                except Exception as error:
                    # One part's trouble is not the others': the figures of an hour would be lost with it.
                    row.note = f"failed: {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
                    row.samples.clear()
                    console.print_exception()
            progress.advance(task)

        for turn in turns:
            for part, row in turn:
                attempt(row, "preparing", part.prepare)
        for number in range(1, rounds + 1):
            for place, turn in enumerate(turns):
                for part, row in turn if (number + place) % 2 else reversed(turn):
                    attempt(row, f"round {number}", lambda part=part, row=row: row.samples.append(part.measure()))  # type: ignore[misc]
    return rows


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
