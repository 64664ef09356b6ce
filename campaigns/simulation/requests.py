"""A client's request: a transaction, perhaps a hint; told to the oracle when it commits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection

from campaigns.model.oracle import Oracle
from campaigns.simulation.mirror import Run
from campaigns.simulation.onlooker import Onlooker
from campaigns.simulation.processes import Fault, Process
from campaigns.simulation.queue import Queue

#: Labels become ids in here, so that the same history has the same ids.
SPACE = UUID("6f0b2a3e-7f0f-4f52-9d0c-5a5e6a4b1c01")

Work = Callable[[Connection], Any]


@dataclass(frozen=True)
class Site:
    """Where requests go: a brand, its queue, and who looks on and foretells."""

    brand_id: UUID
    queue: Queue
    oracle: Oracle
    looking: Onlooker
    transaction: Callable[[], AbstractContextManager[Connection]]
    #: Starts a program as a process.
    begin: Callable[[Process, Callable[[], Any]], Process]


class Requests:
    """Requests to a brand. Labels of the history become ids here, once and for all."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.seed = site, seed
        self.brand_id, self.oracle, self.queue = site.brand_id, site.oracle, site.queue
        #: The runs that were asked for.
        self.runs: dict[UUID, Run] = {}
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
        hint: Callable[[Any], object] | None = None,
        fault: Fault | None = None,
        rest: int = 0,
    ) -> Process:
        """One request. A client whose request had no effect for a fault sends it again."""
        answers: list[Any] = []

        def program() -> None:
            with self.site.transaction() as connection:
                answers[:] = [work(connection)]
            if hint is not None:
                hint(answers[0])

        def once(fault: Fault | None) -> Process:
            process = Process(name, fault, rest)
            process.on_commit = lambda: happened(answers[0])
            return self.site.begin(process, program)

        process = once(fault)
        if process.done and fault is not None and process.on_commit is not None:
            process = once(None)
        return process
