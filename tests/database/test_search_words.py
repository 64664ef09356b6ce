"""The words by which people are found follow what people are called."""

from uuid import UUID

from sqlalchemy import Connection, Engine, text

from issuance.console.reading import search
from issuance.database.connections import transaction
from issuance.members import words


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
        with transaction(engine) as connection:
            words.write_oldest(connection)
        with transaction(engine, brand_id) as connection:
            if tuple(connection.execute(entries).one()) == (0, 0):
                assert _found(connection, brand_id, "zander 1") != []
                written = text("SELECT count(DISTINCT subject_id) FROM search_words WHERE brand_id = :brand_id")
                assert connection.scalar(written, {"brand_id": brand_id}) == 2600
                return


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
