"""A share of the campaign (`./run python -m campaigns.fuzz`): Hypothesis makes what fails small."""

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings, strategies

from campaigns.fuzz import cases, values
from campaigns.fuzz.__main__ import BATCH, run
from campaigns.fuzz.guided import Bytes
from issuance import hints
from issuance.settings import Settings
from worker.messages import ReadsAnything

share = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
chances = strategies.randoms(use_true_random=False)


@pytest.fixture
def servers(database_url: str, redis_url: str) -> Settings:
    return Settings(DATABASE_URL=database_url, REDIS_URL=redis_url)


@share
@given(chances)
def test_any_event_is_parsed_or_refused_with_a_reason(chance: Random) -> None:
    cases.event_alone(chance)


@share
@given(chances)
def test_any_duration_is_whole_and_bounded_or_refused(chance: Random) -> None:
    cases.duration(chance)


@share
@given(strategies.text() | strategies.text("P0123456789YMWD"))
@example("P0D")
@example("P0Y0M0D")
@example("P0W")
def test_any_text_is_a_duration_or_none(text: str) -> None:
    """A validity is longer than nothing, whichever characters its text has."""
    cases.duration_of(text)


@share
@given(chances)
def test_any_message_is_read_as_one_for_an_actor_that_is_there(chance: Random) -> None:
    cases.message(chance)


@settings(share, max_examples=1000, phases=[Phase.generate])
@given(strategies.binary(max_size=80))
def test_any_bytes_are_a_message(body: bytes) -> None:
    """Bytes from anywhere are read, or wrapped for the operator."""
    read = ReadsAnything().decode(body)
    assert read["actor_name"] in hints.QUEUE_OF


@pytest.mark.parametrize("name", [{}, [], None, 1, "unknown"])
def test_a_message_for_nobody_is_kept_for_the_operator(name: object) -> None:
    """Found by the campaign: an actor's name that is no text ended the consumer."""
    fields = ("queue_name", "args", "kwargs", "options", "message_id", "message_timestamp")
    body = json.dumps({**dict.fromkeys(fields), "actor_name": name}).encode()
    assert ReadsAnything().decode(body)["actor_name"] == "quarantine_message"


def test_bad_events_and_requests_do_no_harm(servers: Settings) -> None:
    """Batches of bad events strand no good neighbour, no request ends in a 500, and every law holds after all of it."""
    campaign = run(servers, {"events": 20 * BATCH, "request": 200}, seed=5, tell=lambda _: None)
    assert campaign.failed == {}
    assert campaign.done == Counter(events=20 * BATCH, request=200)


def test_a_seed_is_the_same_again() -> None:
    """What failed under a seed can be looked at again."""
    first, second = (values.wild(Random("5 event 1")) for _ in range(2))
    assert first == second


def test_a_fuzzers_bytes_are_chance() -> None:
    """What is drawn is what the bytes say, from the first to the last; when they are used up, zeros follow."""
    assert [Bytes(byte).randrange(2) for byte in (b"\x00", b"\x40")] == [0, 1]
    assert Bytes(b"\xff\xff").random() == 65535 / 65536
    chance = Bytes(b"\x80\x00\xff")
    assert [chance.random() for _ in range(3)] == [0.5, 0xFF00 / 65536, 0]


@pytest.mark.parametrize("kind", cases.ALONE)
def test_a_fuzzer_steers_every_kind_of_case(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case of the same bytes is the same case, other bytes make other cases, and no bytes make one too."""
    drawn: list[Any] = []
    for name in ("spoilt", "as_body"):
        monkeypatch.setattr(values, name, _noted(getattr(values, name), drawn))
    monkeypatch.setattr(cases, "duration_of", drawn.append)

    def case(data: bytes) -> Any:
        drawn.clear()
        cases.ALONE[kind](Bytes(data))
        return list(drawn)

    some = [bytes(range(start, start + 64)) for start in range(0, 192, 16)]
    assert case(b"")
    assert [case(data) for data in some] == [case(data) for data in some]
    assert len({repr(case(data)) for data in some}) > len(some) // 2


def _noted(draw: Callable[..., Any], drawn: list[Any]) -> Callable[..., Any]:
    def noting(*arguments: Any) -> Any:
        made = draw(*arguments)
        drawn.append(made)
        return made

    return noting
