"""Long lists are read on from the last row that was seen, and counted no further than a bound (INTERFACE 4)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from starlette.datastructures import URL

from issuance import audit
from issuance.api.lists import listed
from issuance.credits import lists as credit_lists
from issuance.database import paging, transaction
from issuance.memberships import memberships
from tests.database.clubs import Club

Page = dict[str, Any]
NUMBER = 11


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Club:
    club = new_club("external", issue_on_signup=True)
    club.sign_up(NUMBER)
    with transaction(club.engine, club.brand_id) as connection:
        for _ in range(NUMBER):
            audit.write(connection, club.brand_id, "coupon.updated", "tea")
    return club


def pages(part: Callable[..., paging.Part], club: Club, per_page: int = 3) -> list[Page]:
    """All pages, by following `links.next` as a client does."""
    url, found = URL("http://x/list?status=live&per_page=3"), []
    page, after = 1, None
    while True:
        with transaction(club.engine, club.brand_id) as connection:
            part_of = part(connection, club.brand_id, page, per_page, after)
        found.append(listed(part_of, page, per_page, url))
        following = found[-1]["links"]["next"]
        if following is None:
            return found
        asked = dict(pair.split("=") for pair in URL(following).query.split("&"))
        assert asked["status"] == "live", "filters stay"
        page, after = int(asked["page"]), UUID(asked["cursor"])


@pytest.mark.parametrize("room", [credit_lists, memberships, audit], ids=["credits", "memberships", "audit"])
@pytest.mark.parametrize("bound", [NUMBER - 5, 10_000])
def test_whoever_follows_next_sees_each_row_once(
    club: Club, room: Any, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order that pages by number have. Beyond the bound no total, and no last page, is told."""
    monkeypatch.setattr(paging, "MOST_COUNTED", bound)
    found = pages(room.part, club)
    with transaction(club.engine, club.brand_id) as connection:
        rows, total = room.page(connection, club.brand_id, 1, 100)
        by_number = [room.part(connection, club.brand_id, n + 1, 3, None).rows for n in range(len(found))]
    assert total >= NUMBER
    assert [row["id"] for page in found for row in page["data"]] == [row["id"] for row in rows]
    assert [[row["id"] for row in page["data"]] for page in found] == [[row["id"] for row in of] for of in by_number]
    last = -(-total // 3)
    for number, page in enumerate(found, 1):
        meta, links = page["meta"], page["links"]
        assert (meta["page"], meta["from"]) == (number, 3 * number - 2)
        if bound < total:
            assert (meta["total"], meta["last_page"], links["last"]) == (None, None, None)
            assert meta["total_at_least"] == bound + 1
        else:
            assert (meta["total"], meta["last_page"]) == (total, last)
            assert meta["total_at_least"] is None
            assert f"?status=live&page={last}&" in links["last"]
        assert "cursor" not in links["first"]


def test_what_comes_meanwhile_moves_nothing(club: Club) -> None:
    """A credit that is issued while somebody reads on stands on no page of theirs, and moves none to the next."""
    with transaction(club.engine, club.brand_id) as connection:
        first = credit_lists.part(connection, club.brand_id, 1, 4, None)
    club.sign_up(3)
    with transaction(club.engine, club.brand_id) as connection:
        rest = credit_lists.part(connection, club.brand_id, 2, 100, first.last)
    seen = [row["id"] for row in (*first.rows, *rest.rows)]
    assert len(seen) == len(set(seen)) == NUMBER
    assert rest.last is None


def test_an_empty_list_has_one_page(new_club: Callable[..., Club]) -> None:
    club = new_club("external")
    (page,) = pages(credit_lists.part, club)
    assert page["data"] == []
    assert (page["meta"]["total"], page["meta"]["last_page"], page["meta"]["from"]) == (0, 1, None)
