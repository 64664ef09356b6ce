"""Faults and steps: which fault a process causes itself, and at which step of its work.

The product knows nothing of them. Tests and processes share a folder: the tests put an order into it, and the first
process that takes the step causes the fault.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

#: What a step is about to do: a statement, a COMMIT, something at the queue, a message to a webhook.
Kind = Literal["statement", "commit", "queue", "post"]
#: kill: kill -9 before the step; cut: its connection is gone before it; flush: FLUSHALL before it; stop: PostgreSQL
#: stops at once before it; reply: the step is done and its reply lost; kill_after: it is done, then kill -9.
Fault = Literal["kill", "cut", "flush", "stop", "reply", "kill_after"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
#: The faults that can happen at a step of a kind.
FAULTS_AT: dict[Kind, tuple[Fault, ...]] = {
    "statement": ("kill", "cut", "flush", "stop"),
    "commit": ("kill", "cut", "flush", "stop", "reply", "kill_after"),
    "queue": ("kill", "cut", "flush", "stop", "reply"),
    "post": ("kill", "flush", "stop", "reply"),
}


class Step(NamedTuple):
    """A place in the work of a process: the `ordinal`-th such thing that `function` does in one unit of work.

    `unit` is the outermost function of the project (an actor, a tick, an endpoint), `function` the innermost.
    """

    process: str
    unit: str
    function: str
    kind: Kind
    ordinal: int

    def __str__(self) -> str:
        unit, function = (name.removeprefix("issuance.") for name in (self.unit, self.function))
        where = function if unit == function else f"{unit} > {function}"
        return f"{self.process}: {where}: {self.kind} {self.ordinal}"


@dataclass(frozen=True)
class Order:
    """A fault at the next step that fits; None fits all. `postgres` is the process to stop."""

    fault: Fault
    process: str | None = None
    unit: str | None = None
    function: str | None = None
    kind: Kind | None = None
    ordinal: int | None = None
    postgres: int | None = None

    def fits(self, step: Step) -> bool:
        return all(getattr(self, name) in (None, value) for name, value in step._asdict().items())


class Folder:
    """The folder of the orders and of their results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._order = path / "order"
        self._taken = path / "taken"
        self._record = path / "record"

    # The tests' side.

    def give(self, order: Order) -> None:
        self._taken.unlink(missing_ok=True)
        half = self.path / "half"
        half.write_text(json.dumps(asdict(order)))
        half.rename(self._order)

    def taken_at(self) -> float | None:
        """When a process disturbed itself (time.time()); None: not yet."""
        try:
            return self._taken.stat().st_mtime
        except FileNotFoundError:
            return None

    def take_back(self) -> bool:
        """Take an order back; False: too late."""
        return self._claim()

    @contextmanager
    def recording(self) -> Iterator[list[Step]]:
        """Records the steps that all processes take meanwhile; the list holds them at the end."""
        steps: list[Step] = []
        self._record.touch()
        yield steps
        lines = self._record.read_text().splitlines()
        self._record.unlink()
        steps.extend(dict.fromkeys(Step(*json.loads(line)) for line in lines))

    # The victims' side.

    @property
    def awake(self) -> bool:
        return self._order.exists() or self._record.exists()

    def note(self, step: Step) -> None:
        if self._record.exists():
            with self._record.open("a") as record:
                record.write(json.dumps(step) + "\n")

    def take(self, step: Step) -> Order | None:
        """The order if it is for this step. Only one process gets it."""
        try:
            order = Order(**json.loads(self._order.read_text()))
        except FileNotFoundError:
            return None
        return order if order.fits(step) and self._claim() else None

    def _claim(self) -> bool:
        try:
            self._order.rename(self._taken)
        except FileNotFoundError:
            return False
        # A renamed file keeps its time.
        self._taken.touch()
        return True


def wait_until_gone(pid: int, seconds: float = 20.0) -> None:
    """Wait until a process has ended, even if its parent has not collected it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        time.sleep(0.01)
