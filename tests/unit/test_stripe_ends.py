"""Ends of what Stripe bills: each has a name of its own."""

from typing import Any

from issuance.billers.stripe import told


def test_an_end_has_one_name_but_where_it_was_told_that_it_went_on() -> None:
    """Older versions told so by a page that was older than the end's webhook: the end must be told once more."""
    note: dict[str, Any] = {}
    assert told.end_of(note, 300) == "ended"
    told.note_standing(note, 300, "cancelled", "2031-01-15")
    told.note_standing(note, 200, "active", None)
    assert told.end_of(note, 300) == "ended", "whichever was heard first"
    told.note_standing(note, 400, "active", None)
    assert told.end_of(note, 401) == "ended/401"
