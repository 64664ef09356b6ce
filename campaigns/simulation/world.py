"""A world in which one history happens: a brand, the queue, and the processes that serve the brand's clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from campaigns.limited import limited
from campaigns.model.oracle import Oracle
from campaigns.simulation import wire
from campaigns.simulation.clients import Clients
from campaigns.simulation.histories import FEWEST, History
from campaigns.simulation.mirror import Mirror
from campaigns.simulation.onlooker import Onlooker
from campaigns.simulation.outcome import Mismatch, broken_laws, complaint, differences, unexplained_turns
from campaigns.simulation.processes import Fault, Machine, Process
from campaigns.simulation.queue import Queue
from campaigns.simulation.requests import Site
from campaigns.simulation.sizes import small_sizes
from campaigns.simulation.twice import decided_twice
from issuance.database.connections import transaction
from issuance.engine import quarantine, sandbox_clock
from issuance.errors import IssuanceError
from issuance.tenancy import brands
from scheduler import tick
from worker.actors import Actors

#: Whatever goes on comes to an end within so many steps of a drain.
MOST_STEPS = 500
#: Histories after which the tables are emptied: what looks at all brands should not find hundreds.
MOST_BRANDS = 25
#: Of so many memberships of a whole history every turn is explained.
EXPLAINED = 2
#: Seconds, longer than any real time that somebody waits for: claims, forgotten hints; and most back-offs.
A_WHILE = 40.0


class World:
    """Plays histories, one after the other, each on a fresh sandbox brand of a database."""

    def __init__(self, url: str) -> None:
        self.machine = Machine(url, self._committed)
        self.looking = Onlooker(url)
        self.queue = Queue()
        self.actors = Actors(self.machine.engine, self.queue)
        self.brands = 0

    def close(self) -> None:
        self.looking.connection.close()
        self.machine.engine.dispose()

    def play(self, history: History) -> None:
        """Plays it to its end. Raises Mismatch."""
        self.step = -1
        self.wrong: str | None = None
        self.resting: list[Process] = []
        self.queue.waiting.clear()
        self.queue.down = False
        self.queue.sender_is_alive = self._sender_is_alive
        self.brands += 1
        if self.brands % MOST_BRANDS == 0:
            wire.settle()
            self.looking.empty()
        with transaction(self.machine.engine) as connection:
            self.brand_id, _ = brands.create(connection, name="world", timezone=history.timezone, sandbox=True)
        self.looking.start(self.brand_id, history.start)
        self.oracle = Oracle(history.timezone, history.start)
        site = Site(self.brand_id, self.queue, self.oracle, self.looking, self.transaction, self.begin)
        self.clients = Clients(site, history.seed)
        self.mirror = Mirror(self.looking, self.brand_id, self.oracle, self.clients.names, self.clients.runs)
        clocks = SimpleNamespace(monotonic=time.monotonic, sleep=self._sleep)
        with (
            small_sizes(history.seed),
            decided_twice(self._differs),
            mock.patch.object(sandbox_clock, "time", clocks),
            limited("hints", left_alone=0.0),  # or an outage would last for real seconds more
        ):
            try:
                for step, op in enumerate(history.ops):
                    self.step = step
                    if op.name == "coupon" and self.resting:
                        continue  # who is under way has read what it said before
                    doer = self if op.name in WEATHER else self.clients
                    getattr(doer, op.name)(**op.args)
                self.step = len(history.ops)
                self.drain(Random(history.seed))
                self.compare()
                if lines := self._unexplained(history):
                    raise Mismatch(self.step, "explain\n" + "\n".join(lines))
                if broken := broken_laws(self.machine.engine, self.brand_id):
                    raise Mismatch(self.step, f"laws\n{broken}")
            except Mismatch:
                raise
            except AssertionError as error:
                raise Mismatch(self.step, f"not so: {error}") from error
            except Exception as error:
                raise Mismatch(self.step, complaint(error)) from error
            finally:
                self._bury()

    def compare(self) -> None:
        """Raises Mismatch where a credit differs from the prediction, is missing, or is one too many."""
        self.oracle.settle()
        lines = differences(self.machine.engine, self.brand_id, self.oracle, self.clients.names)
        if lines:
            raise Mismatch(self.step, f"at {self.oracle.now.isoformat()}\n" + "\n".join(lines))

    def _unexplained(self, history: History) -> list[str]:
        """What explain says wrongly; of a short history, such as the kept ones, to anybody."""
        told = [*self.oracle.sign_ups]
        if len(history.ops) >= FEWEST:
            told = Random(history.seed).sample(told, min(EXPLAINED, len(told)))
        return unexplained_turns(self.machine.engine, self.brand_id, self.oracle, self.clients.ids, told)

    # -- programs

    def run(self, name: str, program: Callable[[], Any], fault: Fault | None = None, rest: int = 0) -> Process:
        return self.begin(Process(name, fault, rest), program)

    def begin(self, process: Process, program: Callable[[], Any]) -> Process:
        self.machine.start(process, program)
        self._look_at(process)
        return process

    def transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self.machine.engine, self.brand_id)

    def _look_at(self, process: Process) -> None:
        if not process.done and process not in self.resting:
            self.resting.append(process)
        elif process.done and process in self.resting:
            self.resting.remove(process)
        if self.wrong is not None:
            raise Mismatch(self.step, self.wrong)
        error = process.error
        if error is not None and not isinstance(error, OperationalError | IssuanceError):
            raise Mismatch(self.step, f"{process.name} raised {complaint(error)}")

    def _committed(self, process: Process) -> None:
        """After each commit. What is wrong is kept: the program under way must not hear of it."""
        if self.wrong is not None:
            return
        try:
            if process.on_commit is not None:
                happened, process.on_commit = process.on_commit, None
                happened()
            if process.wrote:
                self.mirror.follow()
        except Exception as error:
            self.wrong = f"after a commit of {process.name}: {complaint(error)}"

    def _differs(self, how: str) -> None:
        self.wrong = self.wrong or how

    def _sender_is_alive(self) -> None:
        if self.machine.current is not None:
            self.machine.current.check()

    def _sleep(self, _: float) -> None:
        assert self.machine.current is not None, "only programs sleep"
        self.machine.current.pause()

    def _bury(self) -> None:
        """Ends what rests still."""
        self.wrong = "over"
        for process in self.resting:
            process.kill()
            self.machine.go(process)
        self.resting.clear()

    # -- the weather

    def tick(self, fault: Fault | None = None, rest: int = 0) -> None:
        """The scheduler looks around."""
        self.run("tick", lambda: tick.run_once(self.machine.engine, self.queue), fault, rest)

    def deliver(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        """A worker gets a message."""
        message = self.queue.take(pick)
        if message is not None:
            self.run(message.actor_name, lambda: getattr(self.actors, message.actor_name)(*message.args), fault, rest)

    def lose(self, pick: int) -> None:
        self.queue.take(pick)

    def double(self, pick: int) -> None:
        message = self.queue.take(pick)
        if message is not None:
            self.queue.waiting += [message, message]

    def wipe(self) -> None:
        self.queue.waiting.clear()

    def outage(self, down: bool) -> None:
        """The queue is gone, or back; empty."""
        self.queue.down = down
        self.queue.waiting.clear()

    def wait(self, seconds: float) -> None:
        """Real time passes: what waited for longer than that has waited long enough."""
        self.looking.passes(self.brand_id, seconds)

    def go(self, pick: int) -> None:
        """A process that rested goes on."""
        if self.resting:
            process = self.resting[pick % len(self.resting)]
            self.machine.go(process)
            self._look_at(process)

    def heal(self) -> None:
        """The operator lets out what was set apart."""
        if not self.mirror.quarantined:
            return
        for membership_id in self.looking.set_apart(self.brand_id):
            with self.transaction() as connection:
                quarantine.retry(connection, self.brand_id, membership_id)

    def clock(
        self,
        now: datetime,
        jump: bool = False,
        weather: int = 0,
        storm: int = 0,
        asked: bool = False,
        check: bool = False,
    ) -> None:
        """The clock is moved once everything is settled, by the call for it (`asked`) or bare; and all is settled."""
        random = Random(weather)
        self.drain(random, storm)
        fault = _fault(random, 0.2 if storm else 0)
        for _ in range(2):
            if self.oracle.now < now:
                self.mirror.jump = jump
                self.run("move", self._mover(now, jump, asked), fault, rest=-1)
                self.drain(random, storm)
                fault = None
        assert self.oracle.now == now, f"the clock did not move: {self.oracle.now}"
        if check:
            self.compare()

    def jump(self, now: datetime) -> None:
        """The clock stands elsewhere, whatever is under way."""
        self.mirror.jump = True
        self.run("jump", self._mover(now, jump=True, asked=False))

    def _mover(self, now: datetime, jump: bool, asked: bool) -> Callable[[], Any]:
        if asked:
            return lambda: sandbox_clock.move(self.machine.engine, self.queue, self.brand_id, now, jump=jump)

        def bare() -> None:
            with self.transaction() as connection:
                connection.execute(
                    sandbox_clock._MOVE, {"brand_id": self.brand_id, "now": now, "jump": jump, "is_present": False}
                )

        return bare

    def drain(self, random: Random, storm: int = 0) -> None:
        """Lets everything come to its end, the first `storm` steps in bad weather."""
        for step in range(MOST_STEPS):
            under_way = not self.queue.waiting and self.looking.is_under_way(self.brand_id)
            if not self.queue.waiting and not self.resting and not under_way:
                self.mirror.follow()
                self.mirror.moving = False
                return
            if step >= storm:
                self.queue.down = False
            self._stir(random, step < storm, under_way)
        raise Mismatch(self.step, f"it does not come to an end: {self.queue.waiting} {self.resting}")

    def _stir(self, random: Random, storm: bool, under_way: bool) -> None:
        pick = random.randrange(1000)
        fault = _fault(random, 0.15 if storm else 0)
        rest = random.randrange(1, 5) if storm and random.random() < 0.1 else 0
        if self.resting and random.random() < 0.5:
            self.go(pick)
        elif self.queue.waiting:
            chance = random.random() if storm else 1
            if chance < 0.1:
                self.lose(pick)
            elif chance < 0.2:
                self.double(pick)
            else:
                self.deliver(pick, fault, rest)
        elif under_way:
            self.wait(A_WHILE)
            self.heal()
            self.tick(fault, rest)
        elif self.resting:
            self.go(pick)


WEATHER = {"tick", "deliver", "lose", "double", "wipe", "outage", "wait", "go", "heal", "clock", "jump"}


def _fault(random: Random, chance: float) -> Fault | None:
    if random.random() >= chance:
        return None
    kind = random.choice(["die", "die", "fail", "unheard"])
    return Fault(kind, random.randrange(1, 5 if kind == "unheard" else 30))
