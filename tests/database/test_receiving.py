"""Who keeps the highest revision of what is told ends equal to the API (SEMANTICS 19, docs/receiving-webhooks.md)."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from campaigns.receiver import Receiver
from issuance.api.credits import Credit
from issuance.api.redemptions import Redemption
from issuance.catalog import coupons
from issuance.catalog.coupons import CouponBody
from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Grant, Reinstate, Revoke, Transfer
from issuance.credits import credits, lists
from issuance.database.connections import transaction
from issuance.engine import runs, undos
from issuance.members import members, moves, redemptions, wallets
from issuance.members.profiles import MemberBody
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.clubs import Club, at
from tests.hooks import ALL_BUT_REMINDERS, Hook, listen

PAGE = Path(__file__).parents[2] / "docs/receiving-webhooks.md"
#: Credits are read to the end of the club's time, so that only what happened counts, and not the time of reading.
ATTEMPTS_OF_A_DAY = 5


#: Those that have a name of their own for what happened.
NAMED = [one for one in ALL_BUT_REMINDERS if one != "credit.updated"]


@pytest.fixture(params=[ALL_BUT_REMINDERS, NAMED], ids=["all", "all but credit.updated"])
def clubs_hook(
    request: pytest.FixtureRequest, new_club: Callable[..., Club], receiver: Receiver
) -> Iterator[tuple[Club, Hook]]:
    """A club whose multi-use credits are redeemed at their second use, with a webhook that is told of everything."""
    club = new_club("external", multi_use=True, max_uses=2, roll_over=False)
    yield club, listen(club.engine, club.brand_id, receiver, request.param)
    club.engine.dispose()


def charge(club: Club, membership_id: UUID, state: str, hour: int, start: str = "2031-02-28") -> None:
    """A fact about the charge of February, settled."""
    data = {"membership_id": str(membership_id), "charge_id": f"{membership_id}", "period_start": start}
    club.settle(club.tell(f"charge.{state}", f"{start}T{hour:02}:00", data))


def codes(club: Club) -> list[str]:
    """Those of all credits that are live, the oldest first."""
    with transaction(club.engine, club.brand_id) as connection:
        found, _ = lists.page(connection, club.brand_id, 1, 100, status="live")
    return [credit["code"] for credit in reversed(found)]


def much_happens(club: Club) -> None:
    """Every kind of change of a credit, of a redemption and of a member."""
    brand_id = club.brand_id
    some = club.sign_up(6)
    club.move_clock("2031-02-28T12:00")
    for membership_id in some:
        charge(club, membership_id, "initiated", 6)
    club.sweep()
    first, second, third, fourth, fifth, _ = codes(club)
    used = []
    for code in (first, first, second, third):
        with transaction(club.engine, brand_id) as connection:
            used.append(redemptions.redeem_credit(connection, brand_id, code, Booking())["redemption"]["id"])
    with transaction(club.engine, brand_id) as connection:
        moves.move(connection, brand_id, used[0], "CANCELED")  # live again
        moves.move(connection, brand_id, used[3], "CANCELED")  # it was live: one use fewer
        moves.move(connection, brand_id, used[1], "OPEN")
        to = Transfer(second, "a gift", external_user_id=f"member {some[0]}")
        desk.correct(connection, brand_id, to)
        desk.correct(connection, brand_id, Extend(third, at("2031-05-01"), "closed"))
        desk.correct(connection, brand_id, Revoke(fourth, "a mistake"))
        desk.correct(connection, brand_id, Reinstate(fourth, "no mistake"))
        desk.correct(connection, brand_id, Revoke(fifth, "a mistake"))
    for membership_id in some[:4]:
        charge(club, membership_id, "failed", 7)  # those with uses are flagged, others revoked
    charge(club, some[0], "succeeded", 8)
    moved = {"membership_id": str(some[5]), "billing_anchor": "2031-03-15"}
    club.settle(club.tell("membership.billing_date_moved", "2031-02-28T09:00", moved))  # the expiry moves
    with transaction(club.engine, brand_id) as connection:
        archiving.archive(connection, brand_id, f"member {some[1]}", retain_balance=False)
        version = undos.start_of_version(connection, brand_id, club.rule_id, 1, at("2031-01-01"), "all of it")
    club.work(version)
    club.move_clock("2031-04-01T00:00")
    while club.sweep() is not None:
        pass


def as_told(model: type[Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects as the API sends them."""
    return [json.loads(model.model_validate(row).model_dump_json(by_alias=True)) for row in rows]


def differences(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[Any]:
    """In which fields objects differ from those that should equal them."""
    pairs = zip(some, others, strict=True)
    return [
        (name, one.get(name), other[name]) for one, other in pairs for name in other if one.get(name) != other[name]
    ]


def test_shuffled_doubled_and_a_day_late_it_ends_equal_to_the_api(
    clubs_hook: tuple[Club, Hook], receiver: Receiver, tmp_path: Path
) -> None:
    """The receiver of the page is away for a day, hears then what it missed, in any order and twice, and has what the
    API shows: every credit and redemption, and that a member is gone."""
    club, hook = clubs_hook
    receiver.answers = [503] * 10_000
    much_happens(club)
    for _ in range(ATTEMPTS_OF_A_DAY):
        hook.deliver()
        hook.make_due()
    receiver.answers = []
    while hook.deliver():
        hook.make_due()
    assert {one.state for one in hook.deliveries()} == {"delivered"}
    heard = [(body, headers) for _, headers, body in receiver.received]
    random.Random(7).shuffle(heard)
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    written: dict[str, Any] = {}
    exec(code.group(1), written)
    mirror = written["Mirror"](str(tmp_path / "mirror.sqlite"), hook.secret)
    for body, headers in [*heard, *heard[: len(heard) // 2]]:
        mirror.take(body, headers)
    kept: dict[str, list[dict[str, Any]]] = {}
    for noun, said in mirror.kept.execute("SELECT noun, said FROM objects ORDER BY id"):
        kept.setdefault(noun, []).append(json.loads(said))
    with transaction(club.engine, club.brand_id) as connection:
        shown, number = lists.page(connection, club.brand_id, 1, 100)
        booked, _ = redemptions.page(connection, club.brand_id, 100, None)
        (gone,) = connection.execute(text("SELECT external_user_id FROM members WHERE archived_at IS NOT NULL")).one()
        removed = members.get(connection, club.brand_id, gone)
    by_id = sorted(as_told(Credit, shown), key=lambda one: str(one["id"]))
    assert len(kept["credit"]) == number >= 12
    assert differences(kept["credit"], by_id) == []
    assert differences(kept["redemption"], sorted(as_told(Redemption, booked), key=lambda one: str(one["id"]))) == []
    (member,) = kept["member"]
    assert (member["externalUserID"], member["revision"]) == (gone, removed["revision"])


def test_revisions_grow_with_each_change_and_with_nothing_else(club: Club) -> None:
    """Issuing is the first; a change, being expired and living again are more each; reading and settling are none."""
    (one,) = club.sign_up()
    (code,) = codes(club)

    def revision() -> int:
        with transaction(club.engine, club.brand_id) as connection:
            said: int = credits.get(connection, club.brand_id, codes_of[one])["revision"]
        return said

    codes_of = {one: code}
    seen = [revision()]
    club.rows("UPDATE credits SET expires_at = '2031-03-01Z'")  # as a coupon's validity would
    seen.append(revision())
    club.move_clock("2031-03-02T00:00")
    seen.append(revision())  # expired by time alone
    club.sweep()
    assert revision() == seen[-1], "the sweep's mark is told under the same revision"
    with transaction(club.engine, club.brand_id) as connection:
        desk.correct(connection, club.brand_id, Extend(code, at("2031-05-01"), "closed"))
    seen.append(revision())
    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, code, Booking())
    seen.append(revision())
    club.move_clock("2031-06-02T00:00")
    assert revision() == seen[-1], "what was redeemed does not expire"
    assert seen == sorted(set(seen))
    assert seen[0] == 1


def test_a_grant_that_expires_has_one_revision_before_the_sweep_and_after(club: Club) -> None:
    """Its expiry is marked beside what stays as it was."""
    (one,) = club.sign_up()
    with transaction(club.engine, club.brand_id) as connection:
        discount = {"type": "percent", "value": 10}
        coupons.put(connection, club.brand_id, "tea", CouponBody.model_validate({"name": "Tea", "discount": discount}))
        grant = Grant(one, "tea", "a gift", expires_at=at("2031-02-10"))
        code = desk.correct(connection, club.brand_id, grant)[0]["code"]

    def revision() -> int:
        with transaction(club.engine, club.brand_id) as connection:
            said: int = credits.get(connection, club.brand_id, code)["revision"]
        return said

    club.move_clock("2031-02-11T00:00")
    before = revision()
    while club.sweep() is not None:
        pass
    assert club.value("SELECT expired_at IS NOT NULL FROM credits WHERE code = :code", code=code)
    assert revision() == before


def test_points_that_are_told_in_any_order_end_equal_to_the_wallet(club: Club, receiver: Receiver) -> None:
    """The balance under the highest revision is the wallet's; spending raises it too."""
    hook = listen(club.engine, club.brand_id, receiver)
    with transaction(club.engine, club.brand_id) as connection:
        members.upsert(connection, club.brand_id, "ada", MemberBody())
        assert wallets.read(connection, club.brand_id, "ada")["revision"] == 1
    for amount in (100, 50):
        with transaction(club.engine, club.brand_id) as connection:
            wallets.credit(connection, club.brand_id, "ada", amount, None)
    with transaction(club.engine, club.brand_id) as connection:
        wallet = wallets.read(connection, club.brand_id, "ada")
        redemptions.redeem_points(connection, club.brand_id, 10, "ada", Booking())
        assert wallets.read(connection, club.brand_id, "ada")["revision"] > wallet["revision"]
    while hook.deliver():
        pass
    told = [one["data"] for one in receiver.verified(hook.secret) if one["type"] == "wallet.credited"]
    last = max(told, key=lambda said: int(said["revision"]))
    assert (last["balance"], last["revision"]) == (wallet["balance"], wallet["revision"]) == (150, 3)


def test_all_that_a_credit_can_become_is_counted(club: Club) -> None:
    """A column that changes is named by the trigger that counts, but for the sweep's mark; others never change."""
    (definition,) = club.rows("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'credits_count_changes'")
    counted = set(re.search(r"UPDATE OF (.*?) ON", definition[0]).group(1).split(", "))  # type: ignore[union-attr]
    for row in ("old", "new"):
        compared = set(re.findall(rf"\b{row}\.(\w+)", definition[0]))
        assert compared == counted | {"revision"}, "it is a change where it differs and was not counted yet"
    columns = {
        name
        for (name,) in club.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'credits'::regclass AND attnum > 0")
    }
    never = {
        *("brand_id", "credit_id", "credit_rule_id", "rule_version", "membership_id", "guest_id", "period_start"),
        *("reissue", "coupon_id", "coupon_name", "roll_over", "multi_use", "max_uses", "issued_at"),
        *("run_id", "manual"),
    }
    assert columns - counted == never | {"expired_at", "revision"}


def test_a_credit_that_expires_is_not_locked_first(club: Club) -> None:
    """No trigger is called before a row of credits is updated: PostgreSQL would lock each row that a sweep expires."""
    # 1 | 2 | 16: for each row, before, of an update.
    assert not club.rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'credits'::regclass AND tgtype & 19 = 19")


def test_the_end_of_a_run_that_somebody_asked_for_is_told(club: Club, receiver: Receiver) -> None:
    """`run.finished` once, with the run as the API shows it, of one that was cancelled too; sweeps, which nobody asks
    for, are not told."""
    hook = listen(club.engine, club.brand_id, receiver)
    club.sign_up(3)
    run = club.issue()
    club.move_clock("2031-03-01T00:00")
    assert club.sweep() is not None
    while hook.deliver():
        pass
    told = [one for one in receiver.verified(hook.secret) if one["type"] == "run.finished"]
    assert [(one["data"]["id"], one["data"]["kind"], one["data"]["counts"]) for one in told] == [
        (str(run["id"]), "issue", run["counts"])
    ]
    with transaction(club.engine, club.brand_id) as connection:
        paused = runs.start_issue(connection, club.brand_id, club.rule_id, include_upcoming=True)
        runs.cancel(connection, club.brand_id, paused)
    ended = club.rows("SELECT data FROM webhook_events WHERE type = 'run.finished' ORDER BY event_id")
    assert [(one[0]["id"], one[0]["state"]) for one in ended] == [
        (str(run["id"]), "finished"),
        (str(paused), "cancelled"),
    ]
