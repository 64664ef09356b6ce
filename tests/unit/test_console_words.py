"""What the console calls things: one table, and sentences as people write them."""

from zoneinfo import ZoneInfo

import pytest

from issuance.catalog.rule_versions import NewCreditRule
from issuance.console.rendering import complaint_in_words, in_words
from issuance.console.words import LABELS

LISBON = ZoneInfo("Europe/Lisbon")


def test_each_field_of_a_rule_has_a_name_for_people() -> None:
    """So no form, no error, no version and no entry of the audit names one by its name in the API."""
    assert set(NewCreditRule.model_fields) - set(LABELS) == set()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("rule.max_uses: Input should be a valid integer", "Used up at use number: must be a whole number"),
        ("max_uses: goes only with multi_use", "Used up at use number: goes only with “Usable more than once”"),
        ("external_user_id: There is no such member.", "Member's id, as you know them: There is no such member."),
        (
            "expires_at: must be later than 2031-07-19T06:00:00+00:00",
            "Good until: must be later than 19 Jul 2031, 07:00",
        ),
        ("unheard_of: stays as it is", "unheard_of: stays as it is"),
        ("The form can not be read.", "The form can not be read."),
    ],
)
def test_what_is_wrong_is_said_by_what_the_form_calls_it(said: str, words: str) -> None:
    assert complaint_in_words(said, LISBON) == words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("for 2031-03-10 to 2031-04-09.", "for 10 Mar 2031 to 9 Apr 2031."),
        ("charge ada-2031-03-10 (succeeded)", "charge ada-2031-03-10 (succeeded)"),
        ("charge a:2031-03-10:b", "charge a:2031-03-10:b"),
        ("at 2031-07-01T23:30:00Z, and", "at 2 Jul 2031, 00:30, and"),
        ("on 2031-02-30", "on 2031-02-30"),
    ],
)
def test_a_sentence_has_the_dates_of_its_page(said: str, words: str) -> None:
    """What is a part of an id is no date."""
    assert in_words(said, LISBON) == words
