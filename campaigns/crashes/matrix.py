"""Finds the steps of each scenario by watching it; a case disturbs one step, waits, and compares the outcome."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from campaigns.crashes import outcome
from campaigns.crashes.outcome import Outcome
from campaigns.crashes.scenarios import SCENARIOS, Scenario
from campaigns.faults.club import Club, new_club
from campaigns.faults.orders import FAULTS_AT, Fault, Order, Step
from campaigns.faults.site import Site
from campaigns.receiver import Receiver

#: How long a case may take to recover, in seconds, on however slow and busy a machine.
RECOVERY_LIMIT = 240.0
#: A step that is not come by within this many seconds of the act is not come by at all.
_REACH = 12.0
#: How long doubled hints may go on looking, in seconds.
_LAST_LOOKS = 30.0
#: What is the same whatever the scenario: disturbed in the first one that has it.
_SHARED = ("scheduler", "issuance.api.callers.caller_of")


class Case(NamedTuple):
    """A fault at a step of a scenario."""

    scenario: Scenario
    step: Step
    fault: Fault

    def __str__(self) -> str:
        return f"{self.scenario.name}: {self.step}: {self.fault}"


@dataclass
class Verdict:
    """The result of a case. If nothing is `wrong`, it recovered `seconds` after the fault."""

    case: Case
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Matrix:
    """The cases on one site, and the outcomes of their scenarios without a fault."""

    def __init__(self, site: Site, receiver: Receiver) -> None:
        self.site = site
        self.receiver = receiver
        self.undisturbed: dict[str, Outcome] = {}
        self.steps: dict[str, list[Step]] = {}

    def watch(self) -> Iterator[Scenario]:
        """Run each scenario twice without a fault: the steps that it takes both times are its steps."""
        shared: set[Step] = set()
        for scenario in SCENARIOS:
            seen = [self._watch_once(scenario) for _ in range(2)]
            again = set(seen[1])
            own = [step for step in seen[0] if step in again and step.process in scenario.processes]
            self.steps[scenario.name] = [step for step in own if step not in shared]
            shared.update(step for step in own if step.process in _SHARED or step.unit in _SHARED)
            assert self.steps[scenario.name], f"{scenario.name} takes no step of its own: is it watched?"
            yield scenario

    def _watch_once(self, scenario: Scenario) -> list[Step]:
        with new_club(self.site) as club:
            club.receiver = self.receiver
            act = scenario.prepare(club)
            before = outcome.of(club)
            with self.site.orders.recording() as steps:
                act()
                club.wait_until_done()
                time.sleep(0.3)  # the last acknowledgement
            now = outcome.of(club)
            assert now != before, f"{scenario.name} comes to nothing"
            assert self.undisturbed.setdefault(scenario.name, now) == now, f"{scenario.name} is not the same twice"
        return steps

    def cases(self) -> list[Case]:
        return [
            Case(scenario, step, fault)
            for scenario in SCENARIOS
            for step in self.steps[scenario.name]
            for fault in FAULTS_AT[step.kind]
        ]

    def run(self, case: Case) -> Verdict:
        """Disturb a new club at a step, and wait until nothing is left to do. Not every try reaches the step."""
        for _ in range(3):
            with ExitStack() as stack:
                self._be_whole()
                club = stack.enter_context(new_club(self.site))
                club.receiver = self.receiver
                verdict = self._run(case, club)
            if verdict is not None:
                return verdict
        return Verdict(case, wrong=["the step was not come by"])

    def _run(self, case: Case, club: Club) -> Verdict | None:
        orders = self.site.orders
        act = case.scenario.prepare(club)
        postgres = self.site.pid("postgres")
        orders.give(Order(case.fault, **case.step._asdict(), postgres=postgres))
        began = time.monotonic()
        try:
            act()
            while orders.taken_at() is None:
                if time.monotonic() - began > _REACH and orders.take_back():
                    return None
                time.sleep(0.02)
            while case.fault == "stop" and self.site.pid("postgres") == postgres:
                assert time.monotonic() - began < RECOVERY_LIMIT, "PostgreSQL was to stop, and did not"
                time.sleep(0.02)
            club.wait_until_done(RECOVERY_LIMIT)
        except AssertionError as error:
            orders.take_back()
            return Verdict(case, wrong=[str(error)])
        fault_at = orders.taken_at()
        assert fault_at is not None, "it was seen a moment ago"
        seconds = time.time() - fault_at
        return Verdict(case, seconds, self._wrong(case, club))

    def _wrong(self, case: Case, club: Club) -> list[str]:
        deadline = time.monotonic() + _LAST_LOOKS
        # Nothing is left to do, yet a doubled hint may still be looking: its attempt is counted until it has seen that.
        while wrong := outcome.differences(self.undisturbed[case.scenario.name], outcome.of(club)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        wrong += [f"law broken: {offender}" for offender in club.offenders()]
        told = club.ids("SELECT event_id::text FROM deliveries WHERE state = 'delivered'")
        came = {headers["webhook-id"] for _, headers, _ in list(self.receiver.received)}
        return wrong + [f"{event_id} is said to be delivered and never came" for event_id in told - came]

    def _be_whole(self) -> None:
        """Wait until every process runs before a case begins."""
        self.site.wait_until_up()
