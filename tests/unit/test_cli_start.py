"""A command imports what it needs and nothing else, so that the command line starts at once."""

import os
import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.main import get_command

from issuance.cli.main import COMMANDS, app
from issuance.embedded.environment import REPO

#: Runs a command, and says at the end which packages of others it has imported, and how many modules in all.
PROGRAM = """
import sys
sys.argv[0] = "issuance"
from issuance.cli.main import main
try:
    main()
except SystemExit:
    print("imported", len(sys.modules), *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
#: What takes long to import. Whoever talks to PostgreSQL needs the first row.
DRIVERS = {"sqlalchemy", "psycopg", "pydantic"}
FOR_SOME = {
    "alembic",
    "dramatiq",
    "fastapi",
    "fastapi_offline",
    "httpx",
    "jsonpath",
    "prometheus_client",
    "redis",
    "rich",
    "starlette",
    "stripe",
    "structlog",
    "uvicorn",
}
NOBODY = "00000000-0000-0000-0000-000000000001"


def imported(*arguments: str, database_url: str = "postgresql://127.0.0.1:1/nowhere") -> tuple[int, set[str]]:
    """How many modules a command imports, and the packages among them."""
    servers = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ran = subprocess.run(
        command, cwd=REPO, env={**os.environ, **servers}, capture_output=True, text=True, timeout=600, check=False
    )
    word, number, *names = ran.stderr.splitlines()[-1].split()
    assert word == "imported", ran.stderr
    return int(number), set(names)


@pytest.mark.parametrize("asked", ["--version", "--help"])
def test_what_is_known_without_a_database_needs_none(asked: str) -> None:
    """Neither drivers nor tables."""
    number, names = imported(asked)
    assert names.isdisjoint(DRIVERS | FOR_SOME)
    assert number < 250


@pytest.mark.parametrize(
    "arguments",
    [
        ("brands", "list"),
        ("keys", "list"),
        ("explain", NOBODY),
        ("forecast", NOBODY),
        ("audit",),
        ("runs",),
        ("quarantine", "list"),
        ("billers", "list"),
        ("schema", "status"),
        ("events", "load", os.devnull),
        ("credits", "revoke", "ABC", "--reason", "none"),
        ("members", "export", "ada"),
        ("people", "list"),
        ("preview", "--delete"),
    ],
    ids=" ".join,
)
def test_a_command_imports_no_web_no_queue_and_no_logs(arguments: tuple[str, ...]) -> None:
    """Those are two thirds of what there is to import. Even a command that fails does so without."""
    number, names = imported(*arguments)
    assert names.isdisjoint(FOR_SOME)
    assert number < 700


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ("billers list", 565),
        ("brands list", 550),
        ("credits list", 570),
        ("events list", 585),
        ("keys list", 550),
        ("members list", 565),
        ("people list", 555),
        ("runs list", 565),
        ("webhooks list", 560),
    ],
)
def test_a_list_imports_what_it_shows(asked: str, most: int) -> None:
    """And not what other commands of its group do: corrections decide, approvals know every kind of biller, tokens are
    signed, and secrets are opened."""
    number, names = imported(*asked.split())
    assert names.isdisjoint({"cryptography", "isodate", "jwt"})
    assert number < most


def test_the_limits_are_read_by_every_command_and_cost_it_nothing() -> None:
    """A dataclass writes its methods as a program when it is made: 18 of them took 10 ms of each start."""
    program = "import sys, issuance; known = set(sys.modules); import issuance.limits; print(*set(sys.modules) - known)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert {"dataclasses", "inspect"}.isdisjoint(ran.stdout.split())


def test_run_hands_over_to_a_command_without_a_driver() -> None:
    """`./run COMMAND` beside servers that run needs their addresses, no clients of them: what it becomes imports those
    once more."""
    program = "import sys, issuance.embedded.__main__, issuance.embedded.command; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in ran.stdout.split()}.isdisjoint(DRIVERS | FOR_SOME)


def test_the_list_of_commands_says_what_each_says() -> None:
    """The line is the first of the command's own help; the list is made without making the commands."""
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert {name: command.get_short_help_str(200) for name, command in group.commands.items()} == {
        name: place.says for name, place in COMMANDS.items()
    }


def every(command: Any, path: str = "") -> dict[str, Any]:
    """Every command that can be given, by its words."""
    if not isinstance(command, typer.core.TyperGroup):
        return {path.strip(): command}
    return {
        words: one for name, inner in command.commands.items() for words, one in every(inner, f"{path} {name}").items()
    }


def test_every_command_knows_json() -> None:
    """But those that run until they are stopped, or tell a story: there it is bad use, as any unknown option is."""
    commands = every(get_command(app))
    plain = {
        words for words, command in commands.items() if all("--json" not in param.opts for param in command.params)
    }
    assert plain == {"up", "serve", "demo", "billers stripe try"}


def test_every_group_lists_by_the_same_word() -> None:
    """Whoever knows one group knows how to see what is there in another. Tables are compared, not listed."""
    commands = every(get_command(app))
    groups = {words.rpartition(" ")[0] for words in commands} - {""}
    assert {group for group in groups if f"{group} list" not in commands} == {"schema"}
