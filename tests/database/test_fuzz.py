"""A share of the campaign (`./run python -m campaigns.fuzz`): Hypothesis makes what fails small."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies

from campaigns.fuzz import cases, values
from campaigns.fuzz.__main__ import BATCH, run
from campaigns.fuzz.guided import Bytes
from issuance.settings import Settings
from worker.messages import KNOWN_ACTORS, ReadsAnything

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
@given(strategies.text())
def test_any_text_is_a_duration_or_none(text: str) -> None:
    """Whatever characters there are."""
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
    assert read["actor_name"] in KNOWN_ACTORS


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
    """All that a case draws can be drawn from bytes, also when they are used up."""
    for case in cases.ALONE.values():
        case(Bytes(b""))
        case(Bytes(bytes(range(256))))
    assert Bytes(b"\x01").randrange(2) in (0, 1)
    assert 0 <= Bytes(b"\xff\xff").random() < 1
