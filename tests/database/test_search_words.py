"""The words by which people are found follow what people are called."""

from uuid import UUID

import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Connection, Engine, text

from issuance.console.reading import search
from issuance.database.connections import transaction
from issuance.members import words
from scheduler import tick
from tests.database.clubs import Club
from tests.limits import Limit


def _called(connection: Connection, brand_id: UUID, name: str, email: str | None) -> UUID:
    written = text("""
        INSERT INTO members (brand_id, member_id, external_user_id, display_name, email, joined_at)
        VALUES (:brand_id, gen_random_uuid(), :name, :name, :email, now()) RETURNING member_id
    """)
    member_id: UUID = connection.execute(written, {"brand_id": brand_id, "name": name, "email": email}).scalar_one()
    return member_id


def _found(connection: Connection, brand_id: UUID, typed: str) -> list[str]:
    return [one["display_name"] for one in search.find(connection, brand_id, typed).members]


def test_any_word_is_found_by_its_beginning_without_regard_to_case_and_accents(engine: Engine, brand_id: UUID) -> None:
    with transaction(engine, brand_id) as connection:
        for name in ("Renée van der Berg", "Jean-Luc Berger", "Anna (Annie) O'Neil"):
            _called(connection, brand_id, name, None)
        assert _found(connection, brand_id, "renee") == ["Renée van der Berg"]
        assert _found(connection, brand_id, "BERG") == ["Jean-Luc Berger", "Renée van der Berg"]
        assert _found(connection, brand_id, "berg luc") == ["Jean-Luc Berger"]
        assert _found(connection, brand_id, "annie neil") == ["Anna (Annie) O'Neil"]
        assert _found(connection, brand_id, "erg") == []


def test_who_is_called_otherwise_is_found_by_that_alone(engine: Engine, brand_id: UUID) -> None:
    """Whose name is taken away is not found by it, and leaves no word behind."""
    with transaction(engine, brand_id) as connection:
        member_id = _called(connection, brand_id, "Ada Byron", "ada@byron.example")
        rename = text("UPDATE members SET display_name = :name, email = NULL WHERE member_id = :member_id")
        connection.execute(rename, {"name": "Ada Lovelace", "member_id": member_id})
        assert _found(connection, brand_id, "byron") == []
        assert _found(connection, brand_id, "ada@byron") == []
        assert _found(connection, brand_id, "love") == ["Ada Lovelace"]
        connection.execute(rename, {"name": None, "member_id": member_id})
        left = text("SELECT count(*) FROM search_words WHERE subject_id = :member_id")
        assert connection.scalar(left, {"member_id": member_id}) == 0


def test_who_came_is_found_at_once_though_the_scheduler_writes_the_words(engine: Engine, brand_id: UUID) -> None:
    """A statement of thousands costs a row for each five hundred; whoever searches works them off too."""
    many = text("""
        INSERT INTO members (brand_id, member_id, external_user_id, display_name, joined_at)
        SELECT :brand_id, gen_random_uuid(), 'member ' || n, 'Zoe Zander ' || n, now()
          FROM generate_series(1, 2600) AS n
    """)
    entries = text("SELECT coalesce(sum(cardinality(subject_ids)), 0), count(*) FROM search_backlog")
    with transaction(engine, brand_id) as connection:
        connection.execute(many, {"brand_id": brand_id})
        assert tuple(connection.execute(entries).one()) == (2600, 6)
        assert _found(connection, brand_id, "zander 2600") == ["Zoe Zander 2600"]
        assert tuple(connection.execute(entries).one()) == (1000, 2)
    while True:
        with transaction(engine, brand_id) as connection:
            words.write_oldest(connection, brand_id)
            if tuple(connection.execute(entries).one()) == (0, 0):
                assert _found(connection, brand_id, "zander 1") != []
                written = text("SELECT count(DISTINCT subject_id) FROM search_words WHERE brand_id = :brand_id")
                assert connection.scalar(written, {"brand_id": brand_id}) == 2600
                return


def test_who_came_last_is_found_though_those_before_wait(engine: Engine, brand_id: UUID, limit: Limit) -> None:
    """Their words are the first that are written, wherever their id stands among the others'."""
    limit("members", words_bytes=100)
    many = text("""
        INSERT INTO members (brand_id, member_id, external_user_id, display_name, joined_at)
        SELECT :brand_id, gen_random_uuid(), 'member ' || n, 'Zoe Zander ' || n, now()
          FROM generate_series(1, 300) AS n
    """)
    last = text("""
        INSERT INTO members (brand_id, member_id, external_user_id, display_name, joined_at)
        VALUES (:brand_id, 'ffffffff-ffff-7fff-bfff-ffffffffffff', 'ada', 'Ada Byron', now())
    """)
    with transaction(engine, brand_id) as connection:
        connection.execute(many, {"brand_id": brand_id})
        connection.execute(last, {"brand_id": brand_id})
        assert _found(connection, brand_id, "byron") == ["Ada Byron"]
        while words.write_oldest(connection, brand_id):
            pass
        written = text("SELECT count(DISTINCT subject_id) FROM search_words WHERE brand_id = :brand_id")
        assert connection.scalar(written, {"brand_id": brand_id}) == 301


def test_many_who_came_one_by_one_are_written_together(engine: Engine, brand_id: UUID) -> None:
    """A sign-up is an entry: a few at a time would never end where sign-ups go on."""
    for number in range(40):
        with transaction(engine, brand_id) as connection:
            _called(connection, brand_id, f"Zoe Zander {number}", None)
    with transaction(engine, brand_id) as connection:
        assert words.write_oldest(connection, brand_id)
        written = text("SELECT count(DISTINCT subject_id) FROM search_words WHERE brand_id = :brand_id")
        assert connection.scalar(written, {"brand_id": brand_id}) == 40
        assert not words.write_oldest(connection, brand_id)


def test_an_order_is_written_a_part_at_a_time(club: Club, limit: Limit) -> None:
    """However many guests it had, whatever their names weigh; the brand's next people are not lost meanwhile."""
    limit("members", words_bytes=700, words_guests=40)
    orders = club.sign_up(3)
    club.rows("DELETE FROM search_backlog")
    for order in orders:
        club.rows(
            """INSERT INTO guests (brand_id, membership_id, guest_id, place, name, lead_booker)
               SELECT :brand_id, :order, gen_random_uuid(), 100 + n, 'Guest Number' || n, false
                 FROM generate_series(1, 100) AS n""",
            order=order,
        )
    written, turns = "SELECT count(*) FROM search_words WHERE word ~ '^number'", [0]
    while club.value("SELECT count(*) FROM search_backlog"):
        with transaction(club.engine, club.brand_id) as connection:
            assert words.write_oldest(connection, club.brand_id)
        turns.append(club.value(written))
        # Their names have 13 to 15 characters: as many as have room, and one more statement's.
        assert 1 <= turns[-1] - turns[-2] <= 2 * 700 // 13
    assert turns[-1] == 300
    with transaction(club.engine, club.brand_id) as connection:
        assert {one["membership_id"] for one in search.find(connection, club.brand_id, "number100").guests} == {*orders}


def test_brands_take_turns_within_a_tick(
    engine: Engine, brand_id: UUID, other_brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much of one waits, the others are written too, and the look for work goes on soon. A slow look at who
    waits takes nobody's turn."""
    for brand in (brand_id, other_brand_id):
        with transaction(engine, brand) as connection:
            _called(connection, brand, "Zoe Zander", None)
    with transaction(engine) as connection:
        assert {brand_id, other_brand_id} <= set(words.waiting(connection))
    turns: list[UUID] = []
    now = 0.0

    def slow(_: Connection) -> list[UUID]:
        nonlocal now
        now += 2 * tick.WRITING
        return [brand_id, other_brand_id]

    def endless(_: Connection, brand: UUID) -> bool:
        nonlocal now
        now += tick.WRITING / 4
        turns.append(brand)
        return True

    monkeypatch.setattr(tick, "monotonic", lambda: now)
    monkeypatch.setattr(words, "waiting", slow)
    monkeypatch.setattr(words, "write_oldest", endless)
    tick._write_words(engine, StubBroker(), tick.Tick(), tick.LIMITS)
    assert turns == [brand_id, other_brand_id] * 2


def test_a_name_that_others_on_the_order_have_is_still_found(club: Club) -> None:
    """Whoever is called otherwise; who is written anew as they were loses and costs nothing."""
    (order,) = club.sign_up()
    club.rows(
        """INSERT INTO guests (brand_id, membership_id, guest_id, place, name, email, lead_booker)
           SELECT :brand_id, :order, gen_random_uuid(), 100 + n, 'Guest' || n || ' Byron', 'g@byron.example', false
             FROM generate_series(1, 2) AS n""",
        order=order,
    )

    def found(*typed: str) -> list[bool]:
        with transaction(club.engine, club.brand_id) as connection:
            return [bool(search.find(connection, club.brand_id, one).guests) for one in typed]

    assert found("guest1", "byron", "g@byron.example", "love") == [True, True, True, False]
    renamed = "UPDATE guests SET name = CASE place WHEN :place THEN 'Ada Lovelace' ELSE name END WHERE place > 100"
    club.rows(renamed, place=101)
    assert found("guest1", "guest2", "byron", "love") == [False, True, True, True]
    club.rows("UPDATE guests SET email = NULL, name = 'Ada Lovelace' WHERE place > 100")
    assert found("guest2", "byron", "g@byron.example", "love") == [False, False, False, True]


def test_a_beginning_is_read_from_the_key(engine: Engine, brand_id: UUID) -> None:
    """Under row-level security too: what compares leaks nothing."""
    asked = text("""
        EXPLAIN SELECT subject_id FROM search_words
         WHERE brand_id = :brand_id AND word >= 'ad' AND word < 'ad' || '\U0010ffff'
    """)
    with transaction(engine, brand_id) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(connection.scalars(asked, {"brand_id": brand_id}))
    assert "Index Cond" in plan
    assert "word >=" in plan.partition("Index Cond")[2].partition("Filter")[0]
