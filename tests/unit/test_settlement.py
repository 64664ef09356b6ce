"""The laws of settling, over random histories (SEMANTICS 6, 8, 9, 14)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from campaigns.limited import limited
from issuance import limits
from issuance.deciding import settlement
from issuance.deciding.facts import Credit, CreditKey
from issuance.deciding.manual_issue import issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import Change
from issuance.engine.outcome import Outcome
from tests.unit.club import ADA, BEN, Life, at, changes_of, party, rule, version
from tests.unit.lives import lives, nows

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])
data = st.data()


@laws
@given(lives(), data)
def test_settling_again_changes_nothing(life: Life, data: st.DataObject) -> None:
    """What is settled and written is settled: the same `now` asks for nothing more."""
    now = data.draw(nows(life))
    life.settle(now)
    assert changes_of(life.settle(now)) == []


@laws
@given(lives(), data)
def test_what_is_due_is_due_later(life: Life, data: st.DataObject) -> None:
    """due_at is never at or before now: nothing is looked at for ever."""
    now = data.draw(nows(life))
    life.settle(now)
    assert life.due_at is None or life.due_at > now


@laws
@given(lives(), data)
def test_nothing_changes_before_it_is_due(life: Life, data: st.DataObject) -> None:
    """Between a settling and its due_at time alone changes nothing, whatever rules are saved meanwhile."""
    now = data.draw(nows(life))
    life.settle(now)
    end = life.due_at or now + timedelta(days=800)
    between = now + (end - now) * data.draw(st.floats(0, 1, exclude_max=True))
    if between < end:
        assert changes_of(life.settle(between)) == []


@laws
@given(lives(), data)
def test_no_credit_is_issued_dead(life: Life, data: st.DataObject) -> None:
    """Whatever is issued can still be used when it is issued."""
    now = data.draw(nows(life))
    for outcome in life.settle(now):
        for credit in (outcome.credits[key] for key in outcome.issued):
            assert credit.expires_at is None or max(credit.issued_at, credit.valid_from) < credit.expires_at


@laws
@given(lives(), data)
def test_what_does_not_roll_over_dies_with_its_period(life: Life, data: st.DataObject) -> None:
    """No roll_over=false credit is live at or after the end of its period, however time passes."""
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=4))):
        life.settle(now)
        for credit in life.credits:
            if not credit.roll_over and credit.period_end is not None and credit.is_held_at(now):
                assert life.history(now).start_of(credit.period_end) > now


@laws
@given(lives(), data)
def test_what_rolls_over_dies_with_its_last_period(life: Life, data: st.DataObject) -> None:
    """With roll_over_limit=n no credit is live at or after the end of the n-th period after its own."""
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=4))):
        life.settle(now)
        for credit in life.credits:
            one = next(known for known in life.rules if known.credit_rule_id == credit.key.credit_rule_id)
            said = one.version(credit.rule_version)
            if said.roll_over_limit is not None and credit.is_held_at(now):
                history = life.history(now)
                boundaries = history.calendar.boundaries(said.frequency.interval)
                ends = [day for day in islice(boundaries, 400) if day > credit.key.period_start]
                assert history.start_of(ends[said.roll_over_limit]) > now or history.moves


@laws
@given(lives(), data)
def test_never_twice(life: Life, data: st.DataObject) -> None:
    """One credit a (rule, guest, period_start, reissue), however often and whenever it is settled."""
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=4))):
        life.settle(now)
    keys = [credit.key for credit in life.credits]
    assert len(keys) == len(set(keys))


@laws
@given(lives(), data)
def test_every_owed_occurrence_has_its_credit(life: Life, data: st.DataObject) -> None:
    """Once settled, nothing is decided to be issued that is not out: a replay would find nothing missing."""
    now = data.draw(nows(life))
    life.settle(now)
    assert [decision for decision in life.decisions(now) if decision.reason is Reason.ISSUED] == []


@laws
@given(lives(), st.integers(1, 3), data)
def test_what_is_owed_at_once_may_be_issued_in_pieces(life: Life, most: int, data: st.DataObject) -> None:
    """However little one settling issues, a membership that is owed more stays due, and ends with what it is owed."""
    at_once = deepcopy(life)
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=3))):
        at_once.settle(now)
        with limited("settling", credits=most):
            outcomes = life.settle(now)
        assert all(len(outcome.issued) <= most * limits.current.settling.instants for outcome in outcomes)
        assert all(one.complete or (one.due_at is not None and one.due_at <= now) for one in outcomes)
        assert (life.live(now), life.due_at) == (at_once.live(now), at_once.due_at)


def test_events_name_the_latest_of_very_many_decisions_that_give_nothing() -> None:
    """Importing a membership of a hundred years tells of its latest occurrences; all are counted, and explained."""
    life = Life(rules=[rule(version(roll_over=False))], starts_on=date(1900, 1, 1), automatic=True)
    (outcome,) = life.settle(at("2030-01-15"))
    days = [decision.occurrence.day for decision in outcome.skipped]
    assert outcome.counts == {Reason.VERSION_NOT_IN_FORCE: 1441, Reason.PERIOD_OVER: 119, Reason.ISSUED: 1}
    assert (len(days), days) == (settlement.MOST_SKIPPED, sorted(days))
    assert days[-1] == date(2029, 12, 1)


def live_after(life: Life, arrivals: Sequence[Sequence[int]], now: object) -> object:
    """The live credits when the facts arrive in these batches, each settled at the same `now`."""
    own = deepcopy(life)
    told, own.events = own.events, []
    for batch in arrivals:
        known = {event.event_id for event in own.events}
        own.events += [told[place] for place in batch if told[place].event_id not in known]
        own.settle(now)  # type: ignore[arg-type]
    return own.live(now)  # type: ignore[arg-type]


@laws
@given(lives(upcoming=False), data)
def test_any_order_and_repetition_of_facts_ends_alike(life: Life, data: st.DataObject) -> None:
    """Late, doubled and shuffled facts, settled at the same now, end in the live credits of all at once."""
    now = data.draw(nows(life))
    places = range(len(life.events))
    # The sign-up comes first: without it there is no membership to settle.
    later = data.draw(st.permutations(places[1:]))
    again = data.draw(st.lists(st.sampled_from(places), max_size=4))
    assert live_after(life, [[0], *([place] for place in [*later, *again])], now) == live_after(life, [places], now)


def test_a_move_heard_of_late_takes_back_what_it_leaves_no_time() -> None:
    """A credit issued after its period had ended by a move that nobody had told yet would not have been issued."""
    plain = rule(version(roll_over=False, issue_on_signup=False))
    life = Life(rules=[plain], starts_on=date(2030, 12, 1), billing_frequency="P1M")
    life.charge(at("2031-01-01"), "initiated", "c", "2031-01-01")
    now = at("2031-01-20T09:00:00")
    life.settle(now)
    assert [credit.revoked_by for credit in life.credits] == [None]
    life.tell(at("2031-01-05"), "membership.billing_date_moved", billing_anchor="2031-01-10")
    life.settle(now)
    assert [credit.revoked_by for credit in life.credits] == ["facts"]
    assert not life.live(now)


def test_what_was_redeemed_is_flagged_and_stays() -> None:
    """Neither the end of its period nor a charge that is taken back expires or revokes a redeemed credit."""
    life = Life(rules=[rule(version(roll_over=False))])
    life.charge(at("2030-01-31T01:00:00"), "succeeded", "c", "2030-01-31")
    life.settle(at("2030-01-31T02:00:00"))
    redeemed_at, told_at = at("2030-02-01"), at("2030-02-02")
    life.credits = [replace(credit, uses=1, redeemed_at=redeemed_at) for credit in life.credits]
    life.charge(told_at, "refunded", "c", "2030-01-31")
    for now in (told_at, at("2030-03-01")):
        life.settle(now)
        ends = [(credit.flagged_at, credit.expired_at, credit.revoked_at) for credit in life.credits]
        assert ends == [(told_at, None, None)]


def test_what_a_guest_used_who_has_left_is_not_flagged() -> None:
    """It was theirs, and is paid for; if that is taken back it is flagged as everybody's."""
    life = Life(rules=[rule(version(issue_on_signup=False))], starts_on=date(2031, 1, 1), guests=(ADA, BEN))
    life.charge(at("2031-02-01"), "succeeded", "c", "2031-02-01")
    life.settle(at("2031-02-01"))
    life.credits = [replace(credit, uses=1, redeemed_at=at("2031-02-03")) for credit in life.credits]
    life.tell(at("2031-06-10"), "membership.guests_changed", **party(ADA))
    life.settle(at("2031-06-10"))
    assert [credit.flagged_at for credit in life.credits] == [None, None]
    life.charge(at("2031-06-11"), "refunded", "c", "2031-02-01")
    life.settle(at("2031-06-11"))
    assert [credit.flagged_at for credit in life.credits] == [at("2031-06-11")] * 2


@laws
@given(lives(), data)
def test_passing_time_is_settling_at_every_instant_on_the_way(life: Life, data: st.DataObject) -> None:
    """A clock that is moved over many due instants at once gives what moving it from one to the next gives."""
    first, last = sorted([data.draw(nows(life)), data.draw(nows(life))])
    # Who moves the clock has saved the rules before.
    life.rules = life.rules_at(first)
    life.settle(first)
    steps = deepcopy(life)
    for _ in range(1000):
        if steps.due_at is None or steps.due_at > last:
            break
        steps.settle(steps.due_at)
    steps.settle(last)
    life.settle(last)
    assert life.live(last) == steps.live(last)
    assert {credit.key for credit in life.credits} == {credit.key for credit in steps.credits}


@laws
@given(lives(), data)
def test_issuing_by_hand_twice_gives_none_more(life: Life, data: st.DataObject) -> None:
    """Who was just given a credit holds one: the second manual issue at the same moment finds nothing to do."""
    now = data.draw(nows(life))
    outcome = life.settle(now)[-1]
    if not life.rules_at(now):
        return
    include_upcoming = data.draw(st.booleans())
    given_by_hand = by_hand(life, outcome, include_upcoming)
    assert all(credit.manual for credit in given_by_hand)
    again = life.settle(now)
    assert changes_of(again) == [], "later billing does not give a second one"
    assert by_hand(life, again[-1], include_upcoming) == []


def by_hand(life: Life, outcome: Outcome, include_upcoming: bool) -> list[Credit]:
    """The credits that a manual issue of the first rule gives after a settling, taken over."""
    before = set(outcome.credits)
    history = life.history(outcome.now)
    for by_hand in issue_by_hand(history, life.rules_at(outcome.now)[0], include_upcoming=include_upcoming):
        if (new := by_hand.new) is not None:
            outcome.issue(new)
    life.take(outcome)
    return [credit for key, credit in outcome.credits.items() if key not in before]


def test_who_gets_a_credit_when_anothers_of_the_period_expires_is_written_apart() -> None:
    """P0D credits of all guests have one period: marking it as expired for all would mark the one that is new."""
    key = CreditKey(rule().credit_rule_id, 0, date(2030, 1, 31), 0)
    now = at("2030-03-01")
    old = Credit(key, 1, None, False, False, at("2030-01-31"), now, None, at("2030-01-31"), manual=False)
    new = replace(old, key=key._replace(place=1), expires_at=None, issued_at=now)
    gone = replace(old, expired_at=now)
    outcome = Outcome(now, credits={key: gone}, changed={key: Change(old, gone, None)})
    assert outcome.only_issues_and_expires
    outcome.credits[new.key] = new
    outcome.issued[new.key] = version()
    assert not outcome.only_issues_and_expires
