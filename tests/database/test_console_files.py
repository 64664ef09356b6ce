"""Files that people take out of the console: how many, how long, and of which instant."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from issuance.billing import rejections
from issuance.billing.cloud_events import Refused
from issuance.console import lists
from issuance.database.connections import transaction
from issuance.tenancy.shares import Shares
from tests.database.consoles import Ask, ask, signed_in
from tests.limits import Limit

__all__ = ["ask"]


def test_a_person_takes_so_many_files(ask: Callable[..., Ask], engine: Engine, brand_id: UUID) -> None:
    """Of whatever list; somebody else goes on."""
    take, one, other = ask(files=2), signed_in(engine, brand_id), signed_in(engine, brand_id)
    pages = [f"/console/{brand_id}/{name}?as=csv" for name in ("credits", "memberships", "credits")]
    answers = [take(page, "192.0.2.1", cookie=one) for page in pages]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert take(pages[0], "192.0.2.1", cookie=other).status_code == 200


def test_a_brand_takes_two_files_at_once(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place is free again when its file is sent."""
    take, cookie, page = ask(), signed_in(engine, brand_id), f"/console/{brand_id}/credits?as=csv"
    for _ in range(lists.FILES_A_BRAND + 1):
        assert take(page, "192.0.2.1", cookie=cookie).status_code == 200
    monkeypatch.setattr(lists, "_of_a_brand", Shares(0))
    refused = take(page, "192.0.2.1", cookie=cookie)
    assert refused.status_code == 429
    assert "at most 2 of a brand" in refused.text


def test_a_file_is_read_in_pages_and_has_every_row(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, limit: Limit
) -> None:
    """However many there are."""
    limit("console", refused_at_once=2)
    with transaction(engine, brand_id) as connection:
        rejections.keep(connection, brand_id, [(str(n), Refused("malformed", f"row {n}")) for n in range(5)])
    file = ask()(f"/console/{brand_id}/events?as=csv", "192.0.2.1", cookie=signed_in(engine, brand_id))
    assert sorted(f"row {number}" for number in range(5)) == sorted(
        line.split(",")[3] for line in file.text.splitlines()[1:]
    )


def test_a_file_is_a_list_as_it_was_at_one_instant(
    ask: Callable[..., Ask], engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    """What comes on top while it is read moves no row into it twice."""
    limit("console", refused_at_once=2)
    page = rejections.page

    def refuse(message: str) -> None:
        with transaction(engine, brand_id) as connection:
            rejections.keep(connection, brand_id, [(message, Refused("malformed", message))])

    def page_beside_others(*asked: Any) -> Any:
        found = page(*asked)
        refuse(f"later {asked[2]}")
        return found

    for number in range(5):
        refuse(f"row {number}")
    monkeypatch.setattr(rejections, "page", page_beside_others)
    file = ask()(f"/console/{brand_id}/events?as=csv", "192.0.2.1", cookie=signed_in(engine, brand_id))
    assert [line.split(",")[3] for line in file.text.splitlines()[1:]] == [f"row {n}" for n in range(4, -1, -1)]


def test_a_file_that_is_cut_says_so(ask: Callable[..., Ask], engine: Engine, brand_id: UUID, limit: Limit) -> None:
    """In its last line, and only then."""
    page, cookie = f"/console/{brand_id}/events?as=csv", signed_in(engine, brand_id)
    with transaction(engine, brand_id) as connection:
        rejections.keep(connection, brand_id, [(str(n), Refused("malformed", f"row {n}")) for n in range(3)])
    files = []
    for most in (2, 3):
        limit("console", rows_in_a_file=most)
        files.append(ask()(page, "192.0.2.1", cookie=cookie).text.splitlines()[1:])
    assert [len(lines) for lines in files] == [3, 3]
    assert files[0][-1].startswith("There are more than 2 rows.")
    assert "row" in files[1][-1].split(",")[3]
