"""Every released version's database comes to the newest schema, and the linter finds nothing unsafe on the way."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.version import Version

from issuance import __version__
from issuance.database import schema
from issuance.database.revisions import MIGRATIONS, NEWEST, AppliedMigrations, standing_of
from issuance.database.schema import Until
from issuance.database.schema.history import History, Part
from issuance.database.schema.picture import picture
from tests.database.upgrades.conftest import HISTORY, connect

#: schema.sql as it was in each release. 0.1.0's is in the product, which knows that version's databases by it.
RELEASED = {"0.1.0": MIGRATIONS / "base.sql"} | {
    path.stem: path for path in (Path(__file__).parent / "released").glob("*.sql")
}
#: Rules that every step keeps by itself: locks are waited for in short turns, and a step is recorded in the transaction
#: that does it, so it is not done twice.
DONE_BY_EVERY_STEP = ("require-lock-timeout", "require-statement-timeout", "prefer-robust-stmts")
#: Rules for the sake of old processes, which are gone when what they used is taken away.
TAKING_AWAY = ("ban-drop-column", "ban-drop-table", "ban-drop-function", "ban-drop-index", "ban-drop-constraint")
#: What runs while processes work: what takes everything alone may do as it likes.
BESIDE = [part for part in History().parts if part.beside]


@pytest.fixture(params=RELEASED)
def released(request: pytest.FixtureRequest, empty_database: Callable[[], str]) -> str:
    """A database that a released version made."""
    url = empty_database()
    with connect(url) as connection:
        connection.execute(RELEASED[request.param].read_bytes())
    return url


def test_every_release_has_its_picture() -> None:
    """A release that is not listed here is one that nobody has tried to upgrade."""
    releases = {part.release for part in History().parts}
    assert releases - set(RELEASED) <= {__version__}, "the version in the making has none yet"


def test_a_released_database_comes_to_the_newest_schema(released: str) -> None:
    """At once: it is as a new one, object by object."""
    assert schema.upgrade(released).pending == []
    assert schema.diff(released) == []


def test_a_released_database_comes_to_it_in_steps(released: str) -> None:
    """What old processes can work beside, then the rest."""
    schema.upgrade(released, Until.BEFORE)
    with connect(released) as connection:
        assert standing_of(connection).before == NEWEST
    schema.upgrade(released, Until.AFTER)
    assert schema.diff(released) == []


def test_a_new_database_says_that_it_has_had_all_of_it(empty_database: Callable[[], str]) -> None:
    """`schema apply` stamps what it makes; applying once more changes nothing."""
    url = empty_database()
    for _ in range(2):
        schema.apply(url)
        assert schema.status(url).pending == []
        with connect(url) as connection:
            assert standing_of(connection).before == NEWEST


def test_the_picture_says_which_migrations_it_has(empty_database: Callable[[], str]) -> None:
    """So a database that was made by running schema.sql alone is known too."""
    url = empty_database()
    with connect(url) as connection:
        connection.execute(picture().encode())
        said = {revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")}
    assert said == set(History().heads)


def test_migrations_are_numbered_in_order() -> None:
    """Without a gap, each with its *before*; releases in their order, and none ahead of this version."""
    befores = [part for part in History().parts if not part.takes_away]
    assert [part.number for part in befores] == list(range(1, NEWEST + 1))
    assert {part.number for part in History().parts} == {part.number for part in befores}
    versions = [Version(part.release) for part in befores]
    assert versions == sorted(versions)
    assert versions[-1] <= Version(__version__)


@pytest.mark.parametrize("part", History(HISTORY).parts[3:], ids=lambda part: part.revision)
def test_the_vocabulary_of_steps_is_safe(part: Part, tmp_path: Path) -> None:
    """A column, a backfill, constraints and an index, by the steps that there are."""
    assert lint(part, tmp_path) == ""


@pytest.mark.parametrize("part", BESIDE, ids=[part.revision for part in BESIDE])
def test_nothing_that_runs_beside_processes_is_unsafe(part: Part, tmp_path: Path) -> None:
    """Squawk knows which statements hold locks for long or break those who still read the old columns."""
    assert lint(part, tmp_path) == ""


def test_the_linter_finds_what_is_unsafe(tmp_path: Path) -> None:
    """An index that is not concurrent, a constraint that is validated under lock, a type that rewrites the table."""
    for statement in (
        "CREATE INDEX credits_by_use ON credits (brand_id, uses)",
        "ALTER TABLE credits ADD CONSTRAINT few CHECK (uses < 10)",
        "ALTER TABLE credits ALTER uses TYPE bigint",
        "ALTER TABLE credits ALTER reissue SET NOT NULL",
        "ALTER TABLE credits RENAME uses TO used",
        "ALTER TABLE credits DROP COLUMN uses",
    ):
        file = tmp_path / "unsafe.sql"
        file.write_text(f"{statement};\n")
        assert squawk(file), statement


def lint(part: Part, folder: Path) -> str:
    file = folder / f"{part.revision}.sql"
    file.write_text(part.steps.statements())
    return squawk(file, *TAKING_AWAY) if part.takes_away else squawk(file)


def squawk(file: Path, *allowed: str) -> str:
    """What the linter says of a file of statements; nothing where it is content."""
    program = str(Path(sys.executable).with_name("squawk"))
    command = [program, "--pg-version", "15.0", "--exclude", ",".join((*DONE_BY_EVERY_STEP, *allowed)), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=file.parent)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def test_the_newest_schema_needs_no_more_than_it_says() -> None:
    """What a migration says of where it stands is what the code reads of a database."""
    assert AppliedMigrations.of(History().heads) == AppliedMigrations(
        before=NEWEST, after=History().pending(AppliedMigrations(NEWEST, 0))[-1].number
    )
