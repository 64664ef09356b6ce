"""A fingerprint leaves nothing out: every fact, and every field of one, is named in its list (DESIGN 3)."""

from dataclasses import fields
from typing import get_args

import pytest

from issuance.deciding.facts import Credit, Fact, MembershipFacts
from issuance.engine.fingerprint import FIELDS, Tell

FACTS = [MembershipFacts, Credit, *get_args(Fact)]


def test_every_kind_of_fact_is_in_the_list() -> None:
    """A kind of fact that is added says how it is told, or two memberships that differ by it would be taken for one."""
    assert set(FIELDS) == set(FACTS)


@pytest.mark.parametrize("kind", FACTS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_fact_is_in_the_list(kind: type) -> None:
    """So does each of its fields, in one of the ways that there are."""
    ways = {value for name, value in vars(Tell).items() if not name.startswith("_")}
    assert set(FIELDS[kind]) == {field.name for field in fields(kind)}  # type: ignore[arg-type]
    assert set(FIELDS[kind].values()) <= ways
