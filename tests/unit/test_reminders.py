"""When a lead comes, and of which credits (SEMANTICS 19)."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.facts import Credit, CreditKey
from issuance.deciding.frequency import parse_validity
from issuance.deciding.reminders import Lead, Listener, next_reminder, reminders

LISBON = ZoneInfo("Europe/Lisbon")


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def credit(expires_at: str, **says: object) -> Credit:
    key = CreditKey(UUID(int=1), 0, at("2031-03-01").date(), 0)
    made = Credit(
        key,
        rule_version=1,
        period_end=None,
        roll_over=True,
        multi_use=False,
        valid_from=at("2031-03-01"),
        expires_at=at(expires_at),
        validity_ends_at=None,
        issued_at=at("2031-03-01"),
        manual=False,
    )
    return replace(made, **says)  # type: ignore[arg-type]


def listener(*leads: str, since: str = "2031-01-01") -> Listener:
    return Listener(UUID(int=9), tuple(Lead(lead, parse_validity(lead)) for lead in leads), at(since))


def told(before: Credit, after: Credit, *leads: str, settled_at: str, now: str) -> list[str]:
    """The leads that are told at `now` of a credit as it was and is."""
    who = [listener(*leads)]
    found = reminders({before.key: before}, {after.key: after}, who, at(settled_at), at(now), LISBON)
    return [reminder.lead for reminder in found]


def test_a_lead_is_counted_back_on_the_wall_clock() -> None:
    """Over the night in which clocks go forward a day is 23 hours; a month before 31 March is 28 February."""
    spring = credit("2031-03-30T11:00")  # noon in Lisbon's summer time, which began that night
    assert next_reminder([spring], [listener("P1D")], at("2031-03-01"), LISBON) == at("2031-03-29T12:00")
    last = credit("2031-03-31T11:00")
    assert next_reminder([last], [listener("P1M")], at("2031-02-01"), LISBON) == at("2031-02-28T12:00")


def test_of_several_leads_the_next_one_ahead() -> None:
    """Those that have come are past; none is left of what has expired."""
    one = credit("2031-04-10")
    leads = [listener("P7D"), listener("P1D")]
    assert next_reminder([one], leads, at("2031-04-02"), LISBON) == at("2031-04-03")
    assert next_reminder([one], leads, at("2031-04-03"), LISBON) == at("2031-04-09")
    assert next_reminder([one], leads, at("2031-04-09"), LISBON) is None
    both = [one, credit("2031-04-05")]
    assert next_reminder(both, leads, at("2031-04-03"), LISBON) == at("2031-04-04")


def test_an_expiry_that_moves_nearer_is_told_if_it_was_not() -> None:
    """Its lead came while nobody could know; one that was told of before is not told again."""
    was, is_now = credit("2031-04-30"), credit("2031-04-05")
    assert told(was, is_now, "P7D", settled_at="2031-04-02", now="2031-04-03") == ["P7D"]
    assert told(credit("2031-04-08"), is_now, "P7D", settled_at="2031-04-02", now="2031-04-03") == []


def test_an_expiry_that_moves_later_is_told_when_its_own_lead_comes() -> None:
    """Not at the settling that moves it, though a lead of the new one may have come."""
    was, is_now = credit("2031-04-05"), credit("2031-04-08")
    assert told(was, is_now, "P7D", settled_at="2031-03-20", now="2031-04-03") == []
    assert told(is_now, is_now, "P2D", settled_at="2031-04-03", now="2031-04-06") == ["P2D"]


def test_what_lives_again_only_now_is_not_told_of_a_lead_that_came_before() -> None:
    """Nor what is over, nor what was issued or extended after the lead, nor what the webhook did not ask for yet."""
    one = credit("2031-04-10")
    revoked = replace(one, revoked_at=at("2031-04-01"), revoked_by="facts")
    when = {"settled_at": "2031-04-02", "now": "2031-04-04"}
    assert told(one, one, "P7D", **when) == ["P7D"]
    assert told(revoked, one, "P7D", **when) == []
    assert told(one, revoked, "P7D", **when) == []
    assert told(one, replace(one, redeemed_at=at("2031-04-03")), "P7D", **when) == []
    later = replace(one, extended_at=at("2031-04-03T10:00"), extended_to=one.expires_at)
    assert told(later, later, "P7D", **when) == []
    assert told(one, one, "P7D", settled_at="2031-04-02", now="2031-04-10") == [], "never after the expiry"
    who = [listener("P7D", since="2031-04-03T10:00")]
    assert not list(reminders({one.key: one}, {one.key: one}, who, at("2031-04-02"), at("2031-04-04"), LISBON))
