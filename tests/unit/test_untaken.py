"""Answers that nobody takes: who has filled a process's memory with them goes, not who comes then."""

import pytest

from issuance.api.sources import Untaken
from tests.limits import Limit


@pytest.fixture
def untaken(limit: Limit) -> Untaken:
    limit("doors", untaken=100, untaken_of_a_source=50)
    return Untaken()


def test_the_largest_of_the_source_that_has_most_goes(untaken: Untaken) -> None:
    """A till that takes its answer a moment later is not cut off for others' that are never taken."""
    for source in ("first", "second"):
        assert untaken.note(source, f"{source} 1", 20) is None
        assert untaken.note(source, f"{source} 2", 28) is None
    assert untaken.note("till", "till 1", 10) == "first 2"
    assert untaken.note("another till", "till 2", 10) is None
    assert untaken.note("another till", "till 3", 20) == "second 2"


def test_who_comes_goes_where_it_has_most_itself(untaken: Untaken) -> None:
    assert untaken.note("first", "first 1", 40) is None
    assert untaken.note("second", "second 1", 20) is None
    assert untaken.note("third", "third 1", 45) == "third 1"


def test_a_source_has_a_part(untaken: Untaken) -> None:
    """One more of its own is not taken in; others have room."""
    assert untaken.note("first", "first 1", 30) is None
    assert untaken.note("first", "first 2", 25) == "first 2"
    assert untaken.note("second", "second 1", 50) is None


def test_each_connection_of_a_proxy_counts_as_a_source(untaken: Untaken) -> None:
    """They are many people's: the whole of them is no one's, and one of them may be the largest."""
    for number in range(8):
        assert untaken.note("", f"of the proxy {number}", 10) is None
    assert untaken.note("first", "first 1", 15) is None
    assert untaken.note("", "of the proxy 8", 10) == "first 1"
    assert untaken.note("", "of the proxy 9", 60) == "of the proxy 9"
    assert untaken.note("", "of the proxy 9", 11) == "of the proxy 9"


def test_what_was_taken_counts_no_more(untaken: Untaken) -> None:
    assert untaken.note("first", "first 1", 50) is None
    assert untaken.note("second", "second 1", 50) is None
    assert untaken.note("first", "first 1", 0) is None
    assert untaken.note("third", "third 1", 50) is None
    assert untaken.note("third", "third 2", 0) is None
    assert untaken._of.keys() == {"second", "third"}


def test_one_after_the_other_goes_until_there_is_room(untaken: Untaken) -> None:
    """Whoever comes may need more than one of the others had; nobody goes uncounted for what is taken meanwhile."""
    for source in ("first", "second"):
        for number in range(5):
            assert untaken.note(source, f"{source} {number}", 10) is None
    assert untaken.note("till", "till 1", 30) == "first 0"
    assert untaken.note("first", "first 4", 0) is None
    assert untaken.note("till", "till 1", 30) == "second 0"
    assert untaken.note("till", "till 1", 30) is None
    assert sum(sizes.total() for sizes in untaken._of.values()) == 100
