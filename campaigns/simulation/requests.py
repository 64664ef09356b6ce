"""A client's request: a transaction, perhaps a hint; told to the oracle when it commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from sqlalchemy import Connection

from campaigns.simulation.processes import Fault, Process

if TYPE_CHECKING:
    from campaigns.simulation.world import World

#: Labels become ids in here, so that the same history has the same ids.
SPACE = UUID("6f0b2a3e-7f0f-4f52-9d0c-5a5e6a4b1c01")

Work = Callable[[Connection], Any]


class Requests:
    """Requests to a world's brand. Labels of the history become ids here, once and for all."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.brand_id, self.oracle, self.queue = world.brand_id, world.oracle, world.queue
        self.ids: dict[str, UUID] = {}
        self.names: dict[str, str] = {}

    def id(self, label: str) -> UUID:
        if label not in self.ids:
            self.know(label, uuid5(SPACE, f"{self.seed} {label}"))
        return self.ids[label]

    def know(self, label: str, identity: UUID) -> None:
        self.ids[label] = identity
        self.names[str(identity)] = label

    def request(
        self,
        name: str,
        work: Work,
        happened: Callable[[Any], None],
        hint: Callable[[Any], None] | None = None,
        fault: Fault | None = None,
        rest: int = 0,
    ) -> Process:
        """One request. A client whose request had no effect for a fault sends it again."""
        answers: list[Any] = []

        def program() -> None:
            with self.world.transaction() as connection:
                answers[:] = [work(connection)]
            if hint is not None:
                hint(answers[0])

        def once(fault: Fault | None) -> Process:
            process = Process(name, fault, rest)
            process.on_commit = lambda: happened(answers[0])
            return self.world.begin(process, program)

        process = once(fault)
        if process.done and fault is not None and process.on_commit is not None:
            process = once(None)
        return process
