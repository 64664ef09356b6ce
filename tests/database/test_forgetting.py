"""Forgetting a person (SEMANTICS 20): nothing of them is left, and all that they were given stays as it was."""

import json
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import to_json
from sqlalchemy import text

from issuance import audit, database
from issuance.billing import events, rejections
from issuance.billing.cloud_events import Refused
from issuance.errors import MemberErased, MemberNotArchived, MemberNotFound
from issuance.members import erased, members, wallets
from issuance.members.profiles import MemberBody
from issuance.members.redeeming import Booking, redeem_credit
from issuance.memberships import archiving, forgetting, restoring
from issuance.tenancy import idempotency
from tests.database.canaries import ADA, BOB, EMAIL, NAME, Story, story, told
from tests.hooks import Hook

__all__ = ["story", "told"]


def test_nothing_of_an_erased_person_is_left_and_all_they_were_given_stays(story: Story, told: Hook) -> None:
    """In no table: facts, guests, the outbox, refused events, answers, words to search by. Credits, points and
    decisions are as they were, and the laws hold."""
    club = story.club
    with story.work() as connection:
        rejections.keep(
            connection, club.brand_id, [(f'{{"broken": "{NAME}", "who": "{ADA}"', Refused("malformed", "no"))]
        )
        connection.execute(
            text("INSERT INTO idempotency_keys (brand_id, caller, key, request_hash, status, body) VALUES "
                 "(:b, 'key 1', 'a', 'x', 200, :body), (:b, 'key 1', :named, 'x', 200, '{}')"),
            {"b": club.brand_id, "named": f"for {ADA}",
             "body": json.dumps({"externalUserID": ADA, "name": NAME}).encode()},
        )  # fmt: skip
        reasons = [{"credit_id": str(uuid4()), "reason": f"{NAME} asked"}, {"credit_id": "x", "reason": f"for {ADA}"}]
        audit.write(connection, club.brand_id, "correction.made", uuid4(), after={"reasons": reasons})
    refused = story.take({**story.told[0], "id": str(uuid4())})
    assert [one.code for one in refused.rejected] == ["already_signed_up"]
    story.archive()
    assert len(story.left()) > 8, "there is something to forget"
    before, points = story.credits(), club.rows("SELECT member_id, amount FROM ledger_entries ORDER BY entry_id")

    erasure = story.erase()

    assert story.left() == []
    assert story.credits() == before
    assert club.rows("SELECT member_id, amount FROM ledger_entries ORDER BY entry_id") == points
    assert story.broken() == {}
    with story.work() as connection:
        read = members.get(connection, club.brand_id, erasure.external_user_id)
        assert (read["display_name"], read["email"], read["attributes"]) == (None, None, None)
        assert wallets.read(connection, club.brand_id, erasure.external_user_id)["balance"] == 0
        with pytest.raises(MemberNotFound):
            members.get(connection, club.brand_id, ADA)
    assert club.value("SELECT count(*) FROM guests WHERE name = 'Bob Other' AND email = 'bob@example.org'") == 1
    assert club.value("SELECT count(*) FROM rejected_events") == 2
    assert club.rows("SELECT subject_id, reason, after FROM audit_entries WHERE action = 'member.erased'")[0][2] == {
        "external_user_id": erasure.external_user_id
    }


def test_a_guest_who_was_named_by_their_address_alone_loses_the_name_everywhere(story: Story, told: Hook) -> None:
    """Though one word is all their name: on lists that leave the address out too, in what was told and in answers.
    Others' names on that order stay. Erasing again mends what an older erasure left."""
    club, order = story.club, uuid4()
    guest = {"name": "kkcanname", "email": EMAIL, "lead_booker": False}
    only_name = {"name": "kkcanname", "lead_booker": False}
    story.take(story._event("membership.signed_up", story._signs_up(order, "bob", guests=[BOB, only_name])))
    club.settle([order])
    for hour, told_of in (("11", guest), ("12", only_name)):
        story.take(story._event("membership.guests_changed", story._party(order, told_of), hour))
        club.settle([order])
    which = {"o": order}
    of_guest = "FROM credits JOIN guests USING (brand_id, membership_id, guest_id) WHERE membership_id = :o"
    code = club.value(f"SELECT code {of_guest} AND name = 'kkcanname'", **which)
    with story.work() as connection:
        used = redeem_credit(connection, club.brand_id, code, Booking())
        assert used["guest"]["name"] == "kkcanname"
        key = idempotency.Key(club.brand_id, "key", "once")
        assert idempotency.claim(connection, key, b"x") is None
        idempotency.keep(connection, key, idempotency.Answer(200, to_json(used)))
    outbox_of_guest = "SELECT count(*) FROM webhook_events WHERE CAST(data AS text) LIKE '%kkcanname%'"
    assert club.value(outbox_of_guest) > 1, "there is something to forget"
    [(event_id, data)] = club.rows(
        "SELECT event_id, data FROM webhook_events WHERE type = 'credit.redeemed' ORDER BY event_id"
    )
    others = "SELECT count(*) FROM webhook_events WHERE CAST(data AS text) LIKE '%Bob Other%'"
    of_others = club.value(others)

    story.archive()
    story.erase()

    left = [line[:300] for line in story.dump().splitlines() if "kkcanname" in line]
    assert left == []
    assert club.value(others) >= of_others > 0
    place = club.value(f"SELECT name {of_guest} AND code = :code", code=code, **which)
    with story.work() as connection:
        answer = idempotency.claim(connection, key, b"x")
        assert answer is not None
        assert json.loads(answer.body)["guest"]["name"] == place
    assert story.broken() == {}

    with story.work() as connection:
        document = json.loads(json.dumps(erased.document(connection), default=str))
        connection.execute(
            text("UPDATE webhook_events SET data = CAST(:data AS jsonb) WHERE event_id = :event_id"),
            {"data": json.dumps(data), "event_id": event_id},
        )
    assert club.value(outbox_of_guest) == 1, "as an older erasure left it"
    with story.work() as connection:
        restoring.apply(connection, restoring.read(document), club.brand_id)
    assert club.value(outbox_of_guest) == 0


def test_what_was_said_of_a_guest_before_their_id_was_known_goes_too(story: Story) -> None:
    """The name and an earlier address, which a later list with it alone is recognised by. Who had her address for a
    while and has one of their own keeps that."""
    order, club = uuid4(), story.club
    hers, carls = ({"guest_id": str(uuid4()), "lead_booker": False} for _ in range(2))
    before = {**hers, "name": "Canary L.", "email": "old.canary.mail@example.org"}
    since = {**hers, "name": NAME, "email": "new.canary.mail@example.org", "external_user_id": ADA}
    carl = {**carls, "name": "Carl Other"}
    lists = ([before, {**carl, "email": EMAIL}], [since, {**carl, "email": "carl@example.org"}])
    story.take(
        story._event("membership.signed_up", story._signs_up(order, "bob", guests=[BOB, *lists[0]])),
        story._event("membership.guests_changed", story._party(order, *lists[1]), "11"),
    )
    club.settle([order])
    story.archive()
    place = story.erase().external_user_id
    assert story.left() == []
    said = club.rows(
        "SELECT data -> 'guests' -> 2 FROM billing_events WHERE membership_id = :one ORDER BY time", one=order
    )
    assert [(one["name"], one.get("email")) for (one,) in said] == [(place, None), ("Carl Other", "carl@example.org")]
    later = uuid4()
    guests = [BOB, {key: value for key, value in before.items() if key != "guest_id"}]
    story.take(story._event("membership.signed_up", story._signs_up(later, "bob", guests=guests)))
    club.settle([later])
    assert story.left() == []
    assert story.broken() == {}


def test_what_was_told_of_an_erased_person_is_still_a_double(story: Story) -> None:
    """The biller's whole file again: doubles, whoever named her and however; and another body is still a conflict."""
    story.archive()
    story.erase()
    again = story.take(*story.told)
    assert (again.accepted, again.duplicates, again.rejected) == (0, len(story.told), [])
    other = {**story.told[1], "data": {**story.told[1]["data"], "starts_on": "2031-02-01"}}
    assert [one.code for one in story.take(other).rejected] == ["event_conflict"]
    assert story.left() == []


def test_a_refused_text_is_one_row_before_somebody_is_forgotten_and_after(story: Story) -> None:
    """However it names her, by which refusal, whole or cut, and though another is forgotten too: the same text again is
    the row that it was, with nothing of hers, and so it is when it is retried."""
    club = story.club
    unknown = {"membership_type_id": str(uuid4())}
    texts: list[object] = [
        story._event("crm.customer", {"note": f"call {NAME}, {ADA}", "of": "bob"}),
        story._event("crm.customer", {"note": f"call {NAME}"}),
        story._event("crm.customer", {"external_user_id": ADA, "nick": NAME}, whole="x" * 70_000),
        story._event("membership.signed_up", {**story._signs_up(uuid4(), ADA), **unknown, "pet": f"{NAME}'s"}),
        {**story.told[0], "id": str(uuid4()), "subject": f"{NAME} {ADA}"},
        {**story._event("charge.failed", {"charge_id": "c"}), "subject": f"{NAME} {ADA}"},
        f"{ADA}",
    ]
    lines = [(f'{{"broken": "{NAME}", "who": "{ADA}"', Refused("malformed", "no"))]

    def tell() -> list[Any]:
        assert len(story.take(*texts).rejected) == len(texts)
        with story.work() as connection:
            rejections.keep(connection, club.brand_id, lines)
        return club.rows("SELECT rejected_id, body FROM rejected_events ORDER BY rejected_id")

    before = tell()
    assert len(before) == len(texts) + 1
    story.archive()
    story.erase()
    forgotten = club.rows("SELECT rejected_id, body FROM rejected_events ORDER BY rejected_id")
    assert [row[0] for row in forgotten] == [row[0] for row in before]
    assert tell() == forgotten
    with story.work() as connection:
        archiving.archive(connection, club.brand_id, "bob", retain_balance=False)
        forgetting.erase(connection, club.brand_id, "bob")
    without_bob = club.rows("SELECT rejected_id, body FROM rejected_events ORDER BY rejected_id")
    assert without_bob != forgotten
    assert tell() == without_bob
    for rejected_id, body in without_bob:
        if body.startswith("{") and body.endswith("}"):
            with story.work() as connection:
                assert rejections.retry(connection, club.brand_id, rejected_id).accepted == 0
    assert club.rows("SELECT rejected_id, body FROM rejected_events ORDER BY rejected_id") == without_bob
    assert story.left() == []


def test_new_facts_take_an_erased_person_by_the_random_id_and_bring_nobody_back(story: Story) -> None:
    """By the id, or without one by the address; of another's id with her address nothing changes. What is told so is a
    double when it comes again."""
    story.archive()
    place = story.erase().external_user_id
    with story.work() as connection, pytest.raises(MemberErased):
        members.upsert(connection, story.club.brand_id, ADA, MemberBody())
    with story.work() as connection, pytest.raises(MemberErased):
        members.upsert(connection, story.club.brand_id, place, MemberBody())
    fresh, third = uuid4(), uuid4()
    hers = {"name": NAME, "email": EMAIL, "lead_booker": False}
    carols = {"name": "Carol", "email": EMAIL, "external_user_id": "carol", "lead_booker": True}
    new = [
        story._event("membership.signed_up", story._signs_up(fresh, ADA), nickname=NAME),
        story._event(
            "membership.signed_up", story._signs_up(third, "carol", guests=[carols, hers, {**hers, "name": "x"}])
        ),
    ]
    assert story.take(*new).rejected == []
    story.club.settle([fresh, third])
    assert story.take(*new).duplicates == len(new)
    named = story.club.rows(
        "SELECT g.name, m.external_user_id, g.email FROM guests g LEFT JOIN members m USING (brand_id, member_id)"
        " WHERE membership_id = :one ORDER BY place", one=third,
    )  # fmt: skip
    assert named == [("Carol", "carol", EMAIL), (place, place, None), (place, None, None)]
    assert story.club.value("SELECT count(*) FROM members WHERE external_user_id = :id", id=ADA) == 0
    assert (
        story.club.value("SELECT count(*) FROM credits WHERE membership_id = :one AND revoked_at IS NULL", one=fresh)
        == 0
    )
    assert [line for line in story.left() if not line.startswith(("guests:", "billing_events:", "search_words:"))] == []
    assert story.broken() == {}


def test_only_an_archived_member_is_erased_and_once(story: Story) -> None:
    with story.work() as connection, pytest.raises(MemberNotArchived):
        forgetting.erase(connection, story.club.brand_id, ADA)
    story.archive()
    first = story.erase()
    with story.work() as connection:
        again = forgetting.erase(connection, story.club.brand_id, first.external_user_id)
        assert again[:2] == first[:2]
        with pytest.raises(MemberNotFound):
            forgetting.erase(connection, story.club.brand_id, ADA)
    assert story.club.value("SELECT count(*) FROM audit_entries WHERE action = 'member.erased'") == 1


def test_lifted_a_person_may_be_named_again(story: Story) -> None:
    """As somebody new: the old membership stays the random id's. Old facts are doubles all the same."""
    story.archive()
    place = story.erase().external_user_id
    with story.work() as connection:
        assert erased.lift(connection, story.club.brand_id, EMAIL.upper()) is not None
        assert erased.lift(connection, story.club.brand_id, EMAIL) is None
        members.upsert(connection, story.club.brand_id, ADA, MemberBody.model_validate({"displayName": NAME}))
        assert members.id_of(connection, story.club.brand_id, ADA) != members.id_of(
            connection, story.club.brand_id, place
        )
    assert story.take(*story.told).duplicates == len(story.told)
    with story.work() as connection, pytest.raises(MemberErased):
        members.upsert(connection, story.club.brand_id, place, MemberBody())


def test_after_a_restore_the_document_of_erasures_erases_again(story: Story) -> None:
    """The database before the erasure, the document after it: nothing is left, and the biller's file brings nobody
    back. Whoever came after the backup stays unknown too."""
    club = story.club
    later = uuid4()
    signs_up = story._event("membership.signed_up", story._signs_up(later, "canary-id-7 later"))
    tables = "members", "billing_events", "guests", "memberships", "erased_names", "search_words"
    with story.club.engine.begin() as connection:
        database.show(connection, None)
        kept = {
            one: connection.execute(text(f"SELECT CAST(t AS text) FROM {one} t ORDER BY 1")).all() for one in tables
        }
    trial = club.engine.connect()
    begun = trial.begin()
    database.show(trial, club.brand_id)
    archiving.archive(trial, club.brand_id, ADA, retain_balance=False)
    place = forgetting.erase(trial, club.brand_id, ADA).external_user_id
    events.accept(trial, club.brand_id, [signs_up])
    archiving.archive(trial, club.brand_id, "canary-id-7 later", retain_balance=False)
    forgetting.erase(trial, club.brand_id, "canary-id-7 later")
    document = json.loads(json.dumps(erased.document(trial), default=str))
    begun.rollback()  # the backup was brought back
    trial.close()
    with story.club.engine.begin() as connection:
        database.show(connection, None)
        assert kept == {
            one: connection.execute(text(f"SELECT CAST(t AS text) FROM {one} t ORDER BY 1")).all() for one in tables
        }

    for _ in range(2):
        with story.work() as connection:
            assert restoring.apply(connection, restoring.read(document), club.brand_id)[0] == 2
        club.settle([story.own, story.bobs])
        intake = story.take(*story.told, signs_up)
        assert not intake.rejected
        club.settle([story.own, story.bobs, later])
        assert story.left() == []
        assert (
            club.value("SELECT count(*) FROM credits WHERE membership_id = :one AND revoked_at IS NULL", one=later) == 0
        )
    with story.work() as connection:
        assert members.get(connection, club.brand_id, place)["archived_at"] is not None
    assert story.broken() == {}
