"""Keys open what their scopes say, until they are revoked, and are kept nowhere."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, func, select, text, update

from issuance.database.tables import api_keys
from issuance.errors import Conflict, Invalid, NotFound
from issuance.members import members
from issuance.members.profiles import MemberProfile
from issuance.tenancy import brands, keys, tokens
from issuance.tenancy.keys import TooManyKeys
from tests.limits import Limit


def test_a_key_is_found_with_its_brand_and_scopes(connection: Connection, brand_id: UUID) -> None:
    key_id, key = keys.create(connection, brand_id, ["write", "read", "read"])
    assert key.startswith("iss_sandbox_")
    found = keys.find(connection, key)
    assert found == keys.Key(brand_id, key_id, frozenset({"read", "write"}))
    assert found.opens("read")
    assert not found.opens("issue")


def test_a_key_may_have_another_prefix(connection: Connection, brand_id: UUID) -> None:
    """Some clients take for a key only what begins with their own word; it opens what any other opens."""
    key_id, key = keys.create(connection, brand_id, ["read"], prefix="expys")
    assert key.startswith("expys_sandbox_")
    assert keys.find(connection, key) == keys.Key(brand_id, key_id, frozenset({"read"}))
    assert keys.find(connection, key.replace("expys", "iss", 1)) is None


@pytest.mark.parametrize("prefix", ["", "Iss", "a_b", "a.b", "1a", "é", "x" * 17])
def test_a_prefix_is_a_short_word(connection: Connection, brand_id: UUID, prefix: str) -> None:
    with pytest.raises(Invalid):
        keys.create(connection, brand_id, ["read"], prefix=prefix)


def test_admin_opens_everything(connection: Connection, brand_id: UUID) -> None:
    found = keys.find(connection, keys.create(connection, brand_id, ["admin"])[1])
    assert found is not None
    assert all(found.opens(scope) for scope in keys.SCOPES)


@pytest.mark.parametrize("position", [0, 8, 12, 30, -1])
def test_a_mistyped_key_is_refused_without_a_lookup(connection: Connection, brand_id: UUID, position: int) -> None:
    """Its checksum does not fit: the database is not even asked."""
    _, key = keys.create(connection, brand_id, ["read"])
    letters = list(key)
    letters[position] = "x" if letters[position] != "x" else "y"
    asked: Any = None
    assert keys.find(asked, "".join(letters)) is None


@pytest.mark.parametrize("shown", ["", "x", "iss_live_", "iss_live_" + "0" * 49, "iss_sandbox_\x00", "é" * 60])
def test_what_is_no_key_is_refused(connection: Connection, shown: str) -> None:
    assert keys.find(connection, shown) is None


def test_a_revoked_key_opens_nothing_at_once(connection: Connection, brand_id: UUID) -> None:
    key_id, key = keys.create(connection, brand_id, ["read"])
    assert keys.find(connection, key)
    keys.revoke(connection, brand_id, key_id)
    assert keys.find(connection, key) is None
    keys.revoke(connection, brand_id, key_id)


def test_another_brands_key_can_not_be_revoked(connection: Connection, brand_id: UUID) -> None:
    other_id, other_key = brands.create(connection, name="other", timezone="UTC", sandbox=False)
    other = keys.find(connection, other_key)
    assert other is not None
    assert other.brand_id == other_id
    with pytest.raises(NotFound):
        keys.revoke(connection, brand_id, other.key_id)


def test_the_key_itself_is_kept_nowhere(connection: Connection, brand_id: UUID) -> None:
    _, key = keys.create(connection, brand_id, ["read"])
    kept = connection.execute(text("SELECT api_keys::text FROM api_keys WHERE brand_id = :id"), {"id": brand_id})
    # Neither as text nor as bytes, which are shown in hex.
    assert not any(secret in row for row in kept.scalars() for secret in (key[-20:], key[-20:].encode().hex()))


def test_use_is_noted_once_a_minute(connection: Connection, brand_id: UUID) -> None:
    key_id, key = keys.create(connection, brand_id, ["read"])
    of_key = api_keys.c.key_id == key_id
    noted = select(api_keys.c.last_used_at).where(of_key)
    keys.find(connection, key)
    first = connection.scalar(noted)
    assert first is not None
    keys.find(connection, key)
    assert connection.scalar(noted) == first
    connection.execute(update(api_keys).where(of_key).values(last_used_at=first - keys.USE_NOTED_EVERY * 2))
    keys.find(connection, key)
    assert connection.scalar(noted) == first, "now() of this transaction"


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "x"], [""]])
def test_unknown_scopes_are_refused(connection: Connection, brand_id: UUID, scopes: list[str]) -> None:
    with pytest.raises(Invalid):
        keys.create(connection, brand_id, scopes)


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "+01:00", "europe/lisbon", "../etc/passwd", "UTC\x00"])
def test_a_brand_needs_a_time_zone_that_exists(connection: Connection, timezone: str) -> None:
    with pytest.raises(Invalid) as refused:
        brands.create(connection, name="x", timezone=timezone, sandbox=True)
    assert refused.value.fields == {"timezone": "must be an IANA time zone, such as Europe/Lisbon"}


def test_a_key_expires_when_its_day_begins_where_the_brand_is(connection: Connection, brand_id: UUID) -> None:
    """Up to the midnight of the day it opens what it opened, from then on nothing; what it made is dead with it."""
    tomorrow = (datetime.now(ZoneInfo("Europe/Lisbon")) + timedelta(days=1)).date()
    key_id, key = keys.create(connection, brand_id, ["read"], expires_on=tomorrow)
    (listed,) = [one for one in keys.all_of(connection, brand_id) if one["key_id"] == key_id]
    assert listed["expires_at"] == datetime.combine(tomorrow, time(), ZoneInfo("Europe/Lisbon"))
    assert keys.find(connection, key) is not None
    connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(expires_at=func.now()))
    assert keys.find(connection, key) is None
    assert key_id not in connection.scalars(keys.good(brand_id)).all()
    for day in (tomorrow - timedelta(days=1), tomorrow - timedelta(days=400)):
        with pytest.raises(Invalid):
            keys.create(connection, brand_id, ["read"], expires_on=day)


def test_a_key_is_rotated_with_an_overlap(connection: Connection, brand_id: UUID) -> None:
    """The new one has its scopes and name; both open until the overlap ends, which is never put off."""
    old_id, old = keys.create(connection, brand_id, ["issue", "read"], "till 1")
    new_id, new = keys.rotate(connection, brand_id, old_id, overlap=timedelta(hours=2))
    assert keys.find(connection, old) is not None
    assert keys.find(connection, new) == keys.Key(brand_id, new_id, frozenset({"issue", "read"}), "till 1", old_id)
    known = {one["key_id"]: one for one in keys.all_of(connection, brand_id)}
    assert known[old_id]["expires_at"] - datetime.now(UTC) < timedelta(hours=2)
    assert known[new_id]["expires_at"] is None
    keys.rotate(connection, brand_id, old_id, overlap=timedelta(days=9))
    known = {one["key_id"]: one for one in keys.all_of(connection, brand_id)}
    assert known[old_id]["expires_at"] - datetime.now(UTC) < timedelta(hours=2)


def test_what_takes_a_keys_place_begins_and_ends_as_it_did(connection: Connection, brand_id: UUID) -> None:
    """However often it is rotated, and whichever of them: an overlap is no last day."""
    tomorrow = (datetime.now(ZoneInfo("Europe/Lisbon")) + timedelta(days=2)).date()
    first, _ = keys.create(connection, brand_id, ["read"], prefix="club", expires_on=tomorrow)
    second, key = keys.rotate(connection, brand_id, first, overlap=timedelta(hours=1))
    third, _ = keys.rotate(connection, brand_id, second, overlap=timedelta(hours=1))
    again, _ = keys.rotate(connection, brand_id, first)
    assert key.startswith("club_sandbox_")
    expires = {one["key_id"]: one["expires_at"] for one in keys.all_of(connection, brand_id)}
    last_day = datetime.combine(tomorrow, time(), ZoneInfo("Europe/Lisbon"))
    assert [expires[key_id] for key_id in (third, again)] == [last_day] * 2


def test_a_key_of_before_is_known_by_its_prefix_once_it_is_used(connection: Connection, brand_id: UUID) -> None:
    """Old processes write none."""
    key_id, key = keys.create(connection, brand_id, ["read"], prefix="club")
    connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(prefix=None))
    assert keys.rotate(connection, brand_id, key_id)[1].startswith("iss_")
    assert keys.find(connection, key) is not None
    assert keys.rotate(connection, brand_id, key_id)[1].startswith("club_")


def test_a_key_that_is_refused_is_not_rotated(connection: Connection, brand_id: UUID) -> None:
    key_id, _ = keys.create(connection, brand_id, ["read"])
    keys.revoke(connection, brand_id, key_id)
    with pytest.raises(Conflict):
        keys.rotate(connection, brand_id, key_id)
    with pytest.raises(NotFound):
        keys.rotate(connection, brand_id, uuid4())


def test_the_secret_of_tokens_is_rotated_with_an_overlap(connection: Connection, brand_id: UUID) -> None:
    """What the former secret signed is good for as long as a token can be; the one before that signs nothing."""
    key_id, _ = keys.create(connection, brand_id, ["tokens"])
    body = MemberProfile.model_validate({})
    members.upsert(connection, brand_id, "ada", body)
    member_id = members.id_of(connection, brand_id, "ada")
    first = tokens.mint(connection, brand_id, member_id, key_id).access_token
    tokens.rotate(connection)
    second = tokens.mint(connection, brand_id, member_id, key_id).access_token
    assert [tokens.find(connection, one) is not None for one in (first, second)] == [True, True]
    tokens.rotate(connection)
    assert [tokens.find(connection, one) is not None for one in (first, second)] == [False, True]
    connection.execute(text("UPDATE secrets SET created_at = created_at - interval '16 minutes'"))
    assert tokens.find(connection, second) is None


def test_a_brand_has_so_many_good_keys(connection: Connection, brand_id: UUID, limit: Limit) -> None:
    """Rotated ones too; whoever revokes one may make another. All that are good are in the list, before the others."""
    most = len(connection.scalars(keys.good(brand_id)).all()) + 2
    limit("callers", keys=most, keys_listed=most + 1)
    first, last = (keys.create(connection, brand_id, ["read"])[0] for _ in range(2))
    with pytest.raises(TooManyKeys, match="at most 500"):
        keys.create(connection, brand_id, ["read"])
    with pytest.raises(TooManyKeys):
        keys.rotate(connection, brand_id, first)
    for _ in range(3):
        keys.revoke(connection, brand_id, last)
        last, _ = keys.create(connection, brand_id, ["read"])
    listed = [one["revoked_at"] is None for one in keys.all_of(connection, brand_id)]
    assert listed == [*[True] * most, False]
