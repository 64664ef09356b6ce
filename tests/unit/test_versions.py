"""Which version of a rule is in force for an occurrence (SEMANTICS 4)."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuance.deciding.facts import Rule
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.occurrences import version_in_force
from issuance.deciding.reasons import Reason
from tests.unit.club import DAY, LONG_AGO, SILVER, Life, at, rule, version


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Rules of up to six versions, each saved on or after the one before it."""
    gaps = draw(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    versions = []
    created_at = LONG_AGO
    for number, gap in enumerate(gaps, 1):
        created_at += gap * DAY
        versions.append(version(number, created_at, include_upcoming=draw(st.booleans())))
    return rule(*versions)


instants = st.integers(-5, 130).map(lambda days: LONG_AGO + days * DAY)


@given(rules(), instants, st.integers(0, 60))
def test_the_highest_version_that_is_in_force_decides(rule: Rule, scheduled_at: datetime, later: int) -> None:
    """Created by the time it was scheduled, or saved with include_upcoming by the time it was released."""
    released_at = scheduled_at + later * DAY
    in_force = [
        version
        for version in rule.versions
        if version.created_at <= scheduled_at or (version.include_upcoming and version.created_at <= released_at)
    ]
    assert version_in_force(rule, scheduled_at, released_at) == (in_force[-1] if in_force else None)


@given(rules(), instants, st.integers(0, 60))
def test_a_version_saved_after_the_release_changes_nothing(rule: Rule, scheduled_at: datetime, later: int) -> None:
    """What was released goes by the versions that were there by then."""
    released_at = scheduled_at + later * DAY
    there = tuple(version for version in rule.versions if version.created_at <= released_at)
    if there:
        before = version_in_force(Rule(rule.credit_rule_id, there, None), scheduled_at, released_at)
        assert version_in_force(rule, scheduled_at, released_at) == before


def life_of(*rules: Rule) -> Life:
    """Signed up on 31 January and billed every month since, at the start of the period."""
    life = Life(rules=rules)
    for month, day in ((2, 28), (3, 31), (4, 30), (5, 31)):
        start = f"2030-{month:02}-{day}"
        life.charge(at(start), "succeeded", f"c{month}", start)
    return life


def decided_by(life: Life, now: str = "2030-06-01") -> dict[str, int | None]:
    """The version that decides each turn, where the turn is owed."""
    return {
        decision.turn.period_start.isoformat()[5:]: decision.version.version
        for decision in life.decisions(at(now))
        if decision.reason is Reason.ISSUED and decision.version is not None
    }


@pytest.mark.parametrize(
    ("include_upcoming", "first"), [(False, "04-30"), (True, "03-31")], ids=["without", "include_upcoming"]
)
def test_a_new_rule_starts_with_the_cycle_after_the_scheduled_one_or_with_it(
    include_upcoming: bool, first: str
) -> None:
    """Created on 10 March, between February's start and March's: March is scheduled already."""
    life = life_of(rule(version(created_at=at("2030-03-10"), include_upcoming=include_upcoming)))
    assert min(decided_by(life)) == first


def test_an_update_leaves_or_moves_the_scheduled_cycle() -> None:
    """Without include_upcoming the scheduled cycle stays on the old version; with it, it moves to the new one."""
    kept = life_of(rule(version(), version(2, at("2030-03-10"))))
    moved = life_of(rule(version(), version(2, at("2030-03-10"), include_upcoming=True)))
    assert decided_by(kept) == {"01-31": 1, "02-28": 1, "03-31": 1, "04-30": 2, "05-31": 2}
    assert decided_by(moved) == {"01-31": 1, "02-28": 1, "03-31": 2, "04-30": 2, "05-31": 2}


def test_an_occurrence_is_never_scheduled_before_the_sign_up() -> None:
    """Occurrence 0 is scheduled at the sign-up event's time: a rule made a moment later gives nothing for it."""
    plain = rule(version(created_at=at("2030-01-31T00:00:01")))
    assert Life(rules=[plain]).reasons(at("2030-02-01")) == {"2030-01-31": Reason.VERSION_NOT_IN_FORCE}
    same_moment = rule(version(created_at=at("2030-01-31")))
    assert Life(rules=[same_moment]).reasons(at("2030-02-01")) == {"2030-01-31": Reason.ISSUED}


def test_versions_of_other_frequencies_form_one_chain() -> None:
    """From monthly to quarterly: a date gives a credit only if it is on the calendar of the version in force for it."""
    quarterly = version(2, at("2030-03-10"), frequency=IssuingFrequency.QUARTER)
    life = life_of(rule(version(), quarterly))
    assert decided_by(life) == {"01-31": 1, "02-28": 1, "03-31": 1, "04-30": 2}


def test_a_version_that_moves_the_rule_away_gives_the_old_type_nothing() -> None:
    """From the first cycle that the moving version is in force for."""
    life = life_of(rule(version(), version(2, at("2030-03-10"), membership_type_id=SILVER)))
    assert decided_by(life) == {"01-31": 1, "02-28": 1, "03-31": 1}
    assert life.reasons(at("2030-06-01"))["2030-04-30"] is Reason.VERSION_NOT_IN_FORCE


def test_a_deletion_is_in_force_for_everything_at_once() -> None:
    """Nothing is issued under a deleted rule, not even what was released before and had not been settled."""
    life = life_of(rule(deleted_at=at("2030-06-01")))
    assert set(life.reasons(at("2030-06-01")).values()) == {Reason.RULE_DELETED}
