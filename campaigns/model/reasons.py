"""The reasons (SEMANTICS 13) that explain may give for a turn: all that hold; explain may name any of them."""

from __future__ import annotations

from datetime import date

from campaigns.model.owed import stamps, stands_for, turns
from campaigns.model.reading import Reading
from campaigns.model.words import Credit, Version

ISSUED = {"issued", "already_issued"}


def reasons(versions: list[Version], reading: Reading, issued: list[Credit]) -> dict[tuple[str, date], set[str]]:
    """By guest and the turn's date, up to now. `issued` are this rule's and membership's; P0D turns are left out."""
    found: dict[tuple[str, date], set[str]] = {}
    numbered = {(credit.guest, credit.period_start): credit for credit in issued if credit.reissue == 0}
    for turn in turns(versions, reading, reading.now, stamps(issued)):
        version, sign_up = turn.version, turn.day == reading.starts_on
        once = version is not None and version.issuing_frequency == "P0D"
        if once or (sign_up and any(each.issuing_frequency == "P0D" for each in versions)):
            continue
        start = reading.midnight(turn.day)
        party = reading.sign_up_party() if sign_up else reading.party(start)
        leads = {guest.label for guest in party if guest.lead_booker}
        for name in {guest.label for _, guests in reading.parties for guest in guests}:
            holding = numbered.get((name, turn.day))
            if version is not None and (holding is None or holding.revoked == "facts"):
                holding = stands_for(reading, version, name, turn.day, issued) or holding
            given = set(turn.blockers)
            if version is not None and sign_up and not version.issue_on_signup:
                given.add("not_signup_rule")
            if versions[-1].deleted:
                given.add("rule_deleted")
            if name not in {guest.label for guest in party}:
                given.add("guest_removed")
            if version is not None and version.for_lead_booker_only and name not in leads:
                given.add("not_lead_booker")
            if not given and turn.out and holding is None:
                given |= {"period_over"} | ({"used_before_change"} if reading.type_changes else set())
            if holding is not None:
                given = given | ISSUED if given or holding.revoked else ISSUED
                given = given | {"used_before_change"} if holding.revoked else given
            found[name, turn.day] = given
    return found


def unexplained(told: dict[tuple[str, date], str], given: dict[tuple[str, date], set[str]]) -> list[str]:
    """Where what was told, by guest and the turn's date, is no reason that holds, or nothing was told of a turn."""
    lines = []
    for (guest, day), holding in given.items():
        reason = told.get((guest, day))
        if (reason is None and holding <= ISSUED) or (reason is not None and reason not in holding):
            lines.append(f"{guest!r} {day}: explained as {reason}, not {holding}")
    return lines
