"""Long lists are read on from the last row that was seen, and counted no further than a bound (INTERFACE 4)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter
from sqlalchemy import text
from starlette.datastructures import URL

from issuance import audit
from issuance.api import lists
from issuance.api.lists import listed
from issuance.credits import lists as credit_lists
from issuance.database import paging, transaction
from issuance.memberships import memberships
from tests.database.clubs import Club
from tests.limits import Limit

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
def test_whoever_follows_next_sees_each_row_once(club: Club, room: Any, bound: int, limit: Limit) -> None:
    """In the order that pages by number have. Beyond the bound no total, and no last page, is told."""
    limit("database", counted=bound)
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


def test_the_link_to_what_follows_always_works() -> None:
    """On the last page that can be named too: where there is a cursor, it decides, whatever `page` says."""
    part = paging.Part([{"id": UUID(int=1)}], None, UUID(int=1))
    following = URL(listed(part, paging.LAST_PAGE, 1, URL("http://x/list"))["links"]["next"])
    asked = dict(pair.split("=") for pair in following.query.split("&"))
    assert TypeAdapter(lists.Page).validate_python(asked["page"]) == paging.LAST_PAGE
    assert asked["cursor"] == str(UUID(int=1))


def test_an_empty_list_has_one_page(new_club: Callable[..., Club]) -> None:
    club = new_club("external")
    (page,) = pages(credit_lists.part, club)
    assert page["data"] == []
    assert (page["meta"]["total"], page["meta"]["last_page"], page["meta"]["from"]) == (0, 1, None)


#: Credits that each member of a large club has beside their first.
MORE = 200
_MORE = """
    INSERT INTO credits (brand_id, credit_id, code, credit_rule_id, rule_version, membership_id, guest_id, period_start,
                         reissue, coupon_id, coupon_name, roll_over, multi_use, valid_from, issued_at, manual)
    SELECT brand_id, gen_random_uuid(), replace(gen_random_uuid()::text, '-', ''), credit_rule_id, rule_version,
           membership_id, guest_id, period_start, n, coupon_id, coupon_name, roll_over, multi_use, valid_from,
           issued_at, true
      FROM credits, generate_series(1, :more) n WHERE brand_id = :brand_id
"""


@pytest.fixture
def large_club(club: Club) -> Club:
    """One whose size PostgreSQL knows."""
    club.rows(_MORE, more=MORE)
    club.rows("ANALYZE credits, guests")
    return club


def found_and_read(club: Club, **filters: object) -> tuple[paging.Part, int]:
    """A list's first page, and how many credits were read for it."""
    read = text("SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'credits'")
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # those of other tests would be read too
        before = connection.scalar(read)
        found = credit_lists.part(connection, club.brand_id, 1, 25, None, **filters)
        return found, connection.scalar(read) - before


@pytest.mark.parametrize("spent", [0, 2])
def test_what_few_are_found_by_is_looked_for_once(large_club: Club, spent: int) -> None:
    """Every credit is read for them: to count them and for their page together, and where there are none too."""
    some = "SELECT credit_id FROM credits WHERE brand_id = :brand_id LIMIT :spent"
    large_club.rows(f"UPDATE credits SET redeemed_at = now(), uses = 1 WHERE credit_id IN ({some})", spent=spent)
    found, read = found_and_read(large_club, status="redeemed")
    assert (len(found.rows), found.total) == (spent, spent)
    assert read < 1.5 * NUMBER * (1 + MORE)


def test_what_a_guest_holds_is_found_by_their_orders(large_club: Club) -> None:
    """Not by reading every credit for it."""
    guest_id, order = large_club.rows("SELECT guest_id, membership_id FROM guests WHERE brand_id = :brand_id")[0]
    for asked, total in ((guest_id, 1 + MORE), (uuid4(), 0)):
        found, read = found_and_read(large_club, guest_id=asked)
        assert {row["membership_id"] for row in found.rows} <= {order}
        assert found.total == total
        assert read <= 4 * total
