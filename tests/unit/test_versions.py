"""Which version of a rule is in force for an occurrence (SEMANTICS 4)."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuance.deciding.calendar import add_months
from issuance.deciding.facts import Rule, RuleVersion
from issuance.deciding.forecast import forecast
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.occurrences import version_in_force
from issuance.deciding.reasons import Reason
from issuance.engine.plans import Promise
from issuance.engine.replays import Replay, Span
from issuance.engine.tasks import Meant
from tests.unit.club import DAY, LONG_AGO, SILVER, Life, at, clock_at, rule, version


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
    assert version_in_force(rule, scheduled_at, lambda _: released_at) == (in_force[-1] if in_force else None)


@given(rules(), instants, st.integers(0, 60))
def test_a_version_saved_after_the_release_changes_nothing(rule: Rule, scheduled_at: datetime, later: int) -> None:
    """What was released goes by the versions that were there by then."""
    released_at = scheduled_at + later * DAY
    there = tuple(version for version in rule.versions if version.created_at <= released_at)
    if there:
        before = version_in_force(Rule(rule.credit_rule_id, there, None), scheduled_at, lambda _: released_at)
        assert version_in_force(rule, scheduled_at, lambda _: released_at) == before


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
        decision.occurrence.period_start.isoformat()[5:]: decision.version.version
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


def test_a_version_saved_when_a_turn_that_was_not_released_is_over_does_not_make_it_take_place() -> None:
    """Paused in October. A monthly version, saved in January, would let October take place, so that November is
    scheduled then, under the yearly version: November, which nobody was owed, would be owed in January."""
    yearly = version(1, at("2030-10-06"), frequency=IssuingFrequency.YEAR)
    monthly = version(2, at("2031-01-01"), include_upcoming=True)
    life = Life(rules=[rule(yearly, monthly)], starts_on=date(2029, 10, 12), billing_anchor=date(2029, 11, 18))
    life.automatic = True
    life.status(at("2030-10-07"), "paused")
    life.status(at("2030-11-01"), "active")
    assert "2030-11-18" not in decided_owed(life, at("2030-12-31"))
    assert decided_owed(life, at("2031-01-17")) == decided_owed(life, at("2030-12-31"))
    assert life.reasons(at("2031-01-18"))["2031-01-18"] is Reason.ISSUED


def test_a_rule_that_becomes_once_ever_takes_back_no_credit_of_the_sign_up() -> None:
    """The P0D turn means the sign-up's period too; that it waits for its charge says nothing of the sign-up's."""
    once = version(2, at("2030-02-28"), include_upcoming=True, frequency=IssuingFrequency.ONCE)
    life = Life(rules=[rule(version(), once)])
    life.settle(at("2030-01-31"))
    life.settle(at("2030-03-01"))
    assert [credit.revoked_at for credit in life.credits] == [None]


FREQUENCIES = st.sampled_from([IssuingFrequency.BILLING_CYCLE, *IssuingFrequency])


@st.composite
def versions_of_all_kinds(draw: st.DrawFn) -> list[RuleVersion]:
    """Two to five versions of any frequency, saved in the course of two years."""
    days = sorted(draw(st.lists(st.integers(0, 730), min_size=2, max_size=5, unique=True)))
    return [
        version(
            number,
            at("2029-12-01T09:30") + day * DAY,
            include_upcoming=draw(st.booleans()),
            frequency=draw(FREQUENCIES),
            issue_on_signup=draw(st.booleans()),
        )
        for number, day in enumerate(days, 1)
    ]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Two years of a membership that is paused and back, and is charged by itself or now and then."""
    frequency = draw(st.sampled_from(["P1M", "P3M", "P1Y"]))
    anchor = date(2030, 1, 10) + draw(st.integers(0, 40)) * DAY
    life = Life(starts_on=date(2030, 1, 10), billing_anchor=anchor, billing_frequency=frequency)
    life.automatic = draw(st.booleans())
    life.sign_up_at(at("2030-01-10") + draw(st.sampled_from([-20, 0, 0, 200])) * DAY)
    statuses = st.sampled_from(["paused", "active"])
    for day in draw(st.lists(st.integers(0, 700), max_size=6)):
        life.status(at("2030-01-11") + day * DAY, draw(statuses))
    for number in range(0 if life.automatic else 24):
        start = add_months(anchor, number)
        states = draw(st.sampled_from(["", "initiated", "failed", "skipped", "initiated failed succeeded"]))
        for later, state in enumerate(states.split()):
            told_at = max(at(start.isoformat()) + later * 40 * DAY, at("2030-01-11"))
            life.charge(told_at, state, f"c{number}", start.isoformat())
    return life


@given(lives(), versions_of_all_kinds())
def test_saving_a_rule_changes_nothing_that_has_begun(life: Life, versions: list[RuleVersion]) -> None:
    """What is owed when a version has just been saved is what was owed before: no membership has to be looked at."""
    for number in range(1, len(versions)):
        now = versions[number].created_at + timedelta(seconds=1)
        life.rules = [rule(*versions[:number])]
        before = decided_owed(life, now)
        life.rules = [rule(*versions[: number + 1])]
        assert decided_owed(life, now) == before


def decided_owed(life: Life, now: datetime) -> dict[str, int]:
    """What is owed by now, period by period, and the version that says so."""
    return {
        decision.occurrence.period_start.isoformat(): decision.version.version
        for decision in life.decisions(now)
        if decision.reason is Reason.ISSUED and decision.version is not None
    }


def test_a_deletion_is_in_force_for_everything_at_once() -> None:
    """Nothing is issued under a deleted rule, not even what was released before and had not been settled."""
    life = life_of(rule(deleted_at=at("2030-06-01")))
    assert set(life.reasons(at("2030-06-01")).values()) == {Reason.RULE_DELETED}


def test_a_rule_saved_while_the_sign_up_is_held_gives_nothing_for_it() -> None:
    """What is in force for the sign-up is what was there at its time, whatever held its credit since (SEMANTICS 4)."""
    saved = rule(version(1, at("2030-02-10"), include_upcoming=True, issue_on_signup=True))
    life = Life(rules=[saved], signed_up_at=at("2030-01-31"))
    life.status(at("2030-01-31"), "needs_attention")
    life.status(at("2030-02-20"), "active")
    for now in ("2030-02-15", "2030-02-21"):
        first = life.decisions(at(now))[0]
        assert (first.occurrence.day, first.reason) == (date(2030, 1, 31), Reason.VERSION_NOT_IN_FORCE)


def becomes_once(**before: object) -> Life:
    """A membership whose sign-up goes by a rule that became P0D after it, and that is charged for the next period."""
    said = {"include_upcoming": True, "frequency": IssuingFrequency.ONCE, "issue_on_signup": False}
    rules = [rule(version(**before), version(2, at("2031-01-20"), **said))]  # type: ignore[arg-type]
    life = Life(rules, date(2031, 1, 10), signed_up_at=at("2031-01-10T10:00"))
    life.charge(at("2031-02-10"), "succeeded", "c", "2031-02-10")
    return life


REPLAY = Replay(Span(None, None, date(2031, 1, 1), date(2031, 12, 31)))


def test_of_a_sign_up_and_a_p0d_turn_of_one_key_the_first_gives_the_credit() -> None:
    """As if the sign-up had been settled before the rule was saved; it is counted once, whoever decides."""
    life, now = becomes_once(), at("2031-02-12")
    ahead = forecast(life.membership.facts, [], life.rules, now, date(2031, 2, 12))
    assert [(one.day, one.credit.rule_version) for one in ahead] == [(date(2031, 1, 10), 1)]
    replayed = REPLAY.decide(life.membership, Meant(), life.rules, clock_at(now))
    (outcome,) = life.settle(now)
    assert replayed.counts == outcome.counts == {Reason.ISSUED: 1}
    assert [credit.rule_version for credit in (*replayed.credits.values(), *life.credits)] == [1, 1]


def test_a_plan_promises_what_is_issued_under_a_key_that_another_occurrence_has() -> None:
    life, now = becomes_once(roll_over=False), at("2031-02-12")
    promise = Promise(life.rules[0].credit_rule_id, 0, date(2031, 1, 10), 2)
    outcome = REPLAY.decide(life.membership, Meant(promises=(promise,)), life.rules, clock_at(now))
    assert (outcome.counts, len(outcome.issued)) == ({Reason.ISSUED: 1}, 1)
