"""A share of the crash matrix; all of it is `./run crashes`."""

import random

import pytest

from campaigns.crashes.matrix import Case, Matrix
from campaigns.crashes.scenarios import SCENARIOS
from campaigns.faults.orders import FAULTS, FAULTS_AT, Step
from campaigns.faults.site import Site
from campaigns.receiver import running
from issuance.hints import QUEUES

#: How many cases of each fault. PostgreSQL's stops and kill -9 take seconds each.
_SHARE = {"kill": 3, "kill_after": 1, "cut": 4, "flush": 4, "stop": 4, "reply": 4}


def test_whatever_crashes_at_whatever_step_all_comes_out_as_if_nothing_had_happened(site: Site) -> None:
    """The steps are those that the code takes now; of the cases as many as fit, other ones when the code changes."""
    with running() as receiver:
        matrix = Matrix(site, receiver)
        for _ in matrix.watch():
            pass
        cases = matrix.cases()
        assert len(cases) >= 200
        assert {case.fault for case in cases} == set(FAULTS)
        chosen: list[Case] = []
        for fault, number in _SHARE.items():
            # Webhooks' claims outlive a killed worker by half a minute: for the whole matrix.
            quick = [case for case in cases if case.fault == fault and case.step.process != "worker_webhooks"]
            chosen += random.Random(len(cases)).sample(quick, number)
        random.Random(0).shuffle(chosen)
        verdicts = [matrix.run(case) for case in chosen]
    assert [f"{verdict.case}: {verdict.wrong}" for verdict in verdicts if verdict.wrong] == []


def test_every_queue_and_process_is_disturbed() -> None:
    """A process that is new needs a scenario."""
    disturbed = frozenset[str]().union(*(scenario.processes for scenario in SCENARIOS))
    assert disturbed == {"web", "scheduler", *(f"worker_{queue}" for queue in QUEUES)}


@pytest.mark.parametrize("kind", FAULTS_AT)
def test_a_step_says_where_it_is(kind: str) -> None:
    """The line that a failing case shows leads to the code."""
    step = Step("web", "issuance.api.runs.create_replay", "issuance.engine.runs._start", kind, 2)  # type: ignore[arg-type]
    assert str(step) == f"web: api.runs.create_replay > engine.runs._start: {kind} 2"
