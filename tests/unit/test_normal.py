"""Definitions are compared in one form, whether they were dumped and loaded or not (database/schema/normal.py)."""

import pytest

from issuance.database.schema.normal import flat

FLATTENED = {
    "CHECK ((a IS NULL) OR (((a >= 2) AND (a <= 9)) AND b))": "CHECK ((a IS NULL) OR ((a >= 2) AND (a <= 9) AND b))",
    "(a AND (b AND (c AND d)))": "(a AND b AND c AND d)",
    "((a OR b) OR (c AND d))": "(a OR b OR (c AND d))",
}
#: What means something else without its parentheses, or is a text.
KEPT = (
    "((a OR b) AND c)",
    "(a AND NOT (b AND c))",
    "(a AND (b AND c)::boolean)",
    "(a AND f(b AND c))",
    "(a = '(b AND (c AND d))')",
    'CHECK (("b AND (c" AND d))',
    "CASE WHEN (a AND b) THEN (c AND d) END",
    "(a AND b) IS NULL",
)


@pytest.mark.parametrize(("nested", "without"), FLATTENED.items())
def test_what_and_joins_to_its_like_stands_in_no_parentheses(nested: str, without: str) -> None:
    """And what is flat stays as it is."""
    assert flat(nested) == flat(without) == without


@pytest.mark.parametrize("definition", KEPT)
def test_everything_else_stays_as_it_is(definition: str) -> None:
    """To the letter."""
    assert flat(definition) == definition
