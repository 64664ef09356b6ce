"""The documents keep up with the code: what they name is there, and what is there they name."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import product, takewhile
from pathlib import Path

import pytest
from typer.main import get_command

import issuance
from issuance import errors
from issuance.api import metrics, problems
from issuance.billing.event_data import DATA_OF
from issuance.cli.main import app
from issuance.database.connections import ORDINARY_ROLE
from issuance.deciding.reasons import Outcome, Reason
from issuance.laws import LAWS
from issuance.settings import Settings
from tests.unit.pages import DOCS, DOCUMENTS, NOT_BUILT, REPO, named, section
from tests.unit.test_cli_start import every

LINK = re.compile(r"\]\(([^)#:]+)\)")
#: A path in code marks, such as `issuance/errors.py` or `engine/due.py`.
PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`")
#: The first line of a decision that a later one replaced.
REPLACED = re.compile(r"\A# \d+\. .+\n\nReplaced by \[(\d+)\]\((.+)\)\.\n")
#: The numbered contracts, by the word that cites them, and how many sections each has.
CONTRACTS = {"SEMANTICS": ("semantics.md", 20), "INTERFACE": ("interface.md", 12)}
_NUMBERS = r"(\d+(?:\s*(?:,|-|to|and)\s*\d+)*)"
CITED = re.compile(rf"\b({'|'.join(CONTRACTS)})\s+{_NUMBERS}")
CITED_DECISION = re.compile(rf"\b[Dd]ecisions?[\s/]+\[?{_NUMBERS}")
CITED_LAW = re.compile(r"\b[Ll]aws? (\d+)\b")


def written() -> Iterator[tuple[str, str]]:
    """Every text of the project that may cite another: its path, and what it says."""
    folders = ("issuance", "worker", "scheduler", "tests", "benchmarks")
    sources = [path for folder in folders for path in (REPO / folder).rglob("*") if path.suffix in (".py", ".sql")]
    for path in [*sources, *DOCUMENTS, REPO / "schema.sql", REPO / "pyproject.toml", REPO / "run", REPO / "test"]:
        if path != Path(__file__):
            # A citation may go on in the next line of a comment.
            yield str(path.relative_to(REPO)), re.sub(r"\n\s*(?:#:?|--|>)?\s*", " ", path.read_text())


def numbers(text: str) -> set[int]:
    return {int(number) for number in re.findall(r"\d+", text)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_what_a_document_names_is_there(document: Path) -> None:
    """Links lead somewhere, and paths in code marks are paths in the repository or the package. A decision that was
    replaced is not rewritten: it may name files that went with it."""
    missing = [link for link in named(document, LINK) if not (document.parent / link).exists()]
    if REPLACED.search(document.read_text()) is None:
        missing += [
            path
            for path in named(document, PATH)
            if not ((REPO / path).exists() or (REPO / "issuance" / path).exists())
        ]
    assert missing == []


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_is_numbered(contract: str) -> None:
    """Sections 1, 2, 3 … stand in order, each once: their numbers are what everybody cites."""
    name, count = CONTRACTS[contract]
    found = [int(number) for number in re.findall(r"^## (\d+)\. ", (DOCS / name).read_text(), re.MULTILINE)]
    assert found == list(range(1, count + 1))


def test_no_citation_dangles() -> None:
    """A section of a contract, a law or a decision that is cited anywhere exists."""
    decisions = {int(path.name[:4]) for path in (DOCS / "decisions").glob("0*.md")}
    laws = {int(number) for number in re.findall(r"^(\d+)\. ", section(DOCS / "semantics.md", "## 14."), re.MULTILINE)}
    sections = {word: set(range(1, count + 1)) for word, (_, count) in CONTRACTS.items()}
    dangling, cited = [], 0
    for path, text in written():
        found = [(word, numbers(which), sections[word]) for word, which in CITED.findall(text)]
        found += [("decision", numbers(which), decisions) for which in CITED_DECISION.findall(text)]
        found += [("law", numbers(which), laws) for which in CITED_LAW.findall(text)]
        cited += len(found)
        dangling += [(path, word, which - there) for word, which, there in found if which - there]
    assert dangling == []
    assert cited > 100, "citations are found at all"


def test_only_what_is_in_the_repository_is_cited() -> None:
    """Nobody is sent to a page that a clone does not have."""
    assert [path for path, text in written() if re.search(r"\bDESIGN\b|\bshared/", text)] == []


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_refers_to_its_own_sections(contract: str) -> None:
    """ "Section 7" within a contract is one of its own, or of the other where it says so."""
    name, count = CONTRACTS[contract]
    found = {int(number) for number in named(DOCS / name, re.compile(r"\bsections? (\d+)"))}
    assert found <= set(range(1, count + 1))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_what_is_not_built_is_marked_in_one_way(contract: str) -> None:
    """Whoever looks for the mark finds all that is missing."""
    text = (DOCS / CONTRACTS[contract][0]).read_text()
    said = re.findall(r"not\s+(?:yet\s+)?built", text, re.IGNORECASE)
    assert len(said) == text.count(NOT_BUILT)


def test_the_decisions_are_all_in_their_index() -> None:
    """The index has every record, in order, under its own title; the numbers have no gap."""
    folder = DOCS / "decisions"
    records = sorted(folder.glob("0*.md"))
    titles = [record.read_text().partition("\n")[0].removeprefix("# ") for record in records]
    index = re.findall(r"^(\d+\.) \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [f"{number} {title}" for number, title, _ in index] == titles
    assert [name for _, _, name in index] == [record.name for record in records]
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))


def test_a_replaced_decision_and_the_one_that_replaces_it_name_each_other() -> None:
    """Whoever reads the old record is sent to the new one, whose first line says what it replaces."""
    folder = DOCS / "decisions"
    replaced = [
        (record.name, found)
        for record in sorted(folder.glob("0*.md"))
        for found in REPLACED.finditer(record.read_text())
    ]
    assert replaced
    for name, found in replaced:
        number, by = int(found.group(1)), folder / found.group(2)
        assert int(by.name[:4]) == number > int(name[:4])
        first_line = by.read_text().split("\n\n")[1]
        assert first_line.startswith("Replaces ")
        assert f"]({name})" in first_line


def test_a_symbol_that_a_page_names_stands_where_it_says() -> None:
    """One that follows a link to a file, in that file. One in "How to add something", in a file that the page names."""
    for page in DOCUMENTS:
        for path, symbol in re.findall(r"\]\(((?:\.\./)*[\w/]+\.py)\)\s+\(`(\w+)`", page.read_text()):
            assert symbol in _defined(page.parent / path), f"{page.name}: {path} has no {symbol}"
    extending = (DOCS / "extending.md").read_text()
    files = {DOCS / path for path in re.findall(r"\]\((\.\./[\w/]+\.py)\)", extending)}
    there = set().union(*map(_defined, files))
    for symbol in re.findall(r"`([A-Za-z_.]+)`", extending):
        if symbol.startswith("_") or symbol[0].isupper():
            assert set(symbol.split(".")) <= there, symbol


def _defined(path: Path) -> set[str]:
    """The names that a module defines, at any level."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_the_readme_has_every_command() -> None:
    """Each that `--help` lists, at any depth, is in the README's table by its words."""
    table = section(REPO / "README.md", "## The command line")
    told: set[str] = set()
    for row in re.findall(r"^\| (`.+?) \| ", table, re.MULTILINE):
        for mark in re.findall(r"`([^`]+)`", row.replace("\\|", "|")):
            words = takewhile(re.compile(r"[a-z]").match, mark.replace("[", "").replace("]", "").split())
            alternatives = [word.split("|") for word in words]
            told |= {" ".join(one) for n in range(1, len(alternatives) + 1) for one in product(*alternatives[:n])}
    commands = {words for words, command in every(get_command(app)).items() if not command.hidden}
    assert commands - told == set()


def test_the_readme_has_what_the_demo_says_of_the_laws() -> None:
    """Each law once, in the order in which they are checked; and every event that is understood is named."""
    readme = (REPO / "README.md").read_text()
    told = re.findall(r"^    holds   law (\d+) \((.+?)\): (.+)$", readme, re.MULTILINE)
    assert told == [(str(law.number), law.name, law.sentence) for law in LAWS]
    events = " ".join(readme.partition("**Events.**")[2].partition("**Webhooks**")[0].split())
    named = set(re.findall(r"membership\.\w+", events))
    assert named == {name for name in DATA_OF if name.startswith("membership.")}


def test_the_readme_lists_every_setting() -> None:
    """All settings, and no other, are in the README's table."""
    table = (REPO / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    assert listed == {field.alias for field in Settings.model_fields.values()}


def test_the_semantics_list_every_reason() -> None:
    """The closed set of reasons is told whole, by outcome; what is marked as not built is in no code."""
    items = re.split(r"^- ", section(DOCS / "semantics.md", "## 13."), flags=re.MULTILINE)[1:]
    built: dict[str, str] = {}
    missing: set[str] = set()
    for item in items:
        words = re.findall(r"`([a-z_]+)`", item)
        if NOT_BUILT in item:
            missing.update(words)
        else:
            outcome = re.match(r"\*\*(\w+)\*\*", item)
            assert outcome is not None, item
            built |= dict.fromkeys(words, Outcome(outcome.group(1)))
    assert built == {reason.value: reason.outcome for reason in Reason}
    assert missing.isdisjoint(built)


def test_the_interface_has_every_code_of_an_error_by_its_status() -> None:
    """Whoever branches on codes finds each in one table, whose rows are those of the API document; those that only
    people meet, in pages and on the command line, are named below it."""
    for module in pkgutil.walk_packages(issuance.__path__, "issuance."):
        if not module.name.endswith(("__main__", "migrations.env")):
            importlib.import_module(module.name)
    told = section(DOCS / "interface.md", "## 3.")
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", told, re.MULTILINE))
    answered = {str(status): set(named) for status, named in problems.codes().items()}
    assert {status: set(re.findall(r"`([a-z_]+)`", row)) for status, row in rows.items()} == answered
    others = {kind.code for kind in errors.every()}.difference(*answered.values())
    assert set(re.findall(r"`([a-z_]+)`", told[told.index("The console's pages also know") :])) == others


def test_the_metrics_to_alarm_on_exist() -> None:
    """Operators are pointed to figures that are exported."""
    told = set(re.findall(r"`(issuance_\w+)`", (DOCS / "operations.md").read_text())) - {ORDINARY_ROLE}
    assert told
    assert told <= metrics.names()


def test_each_promise_of_security_names_tests_that_are_there() -> None:
    """A row of the page names at least one file with tests, or says what else holds it."""
    page = (DOCS / "security.md").read_text()
    rows = [
        line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "| bound"))
    ]
    assert len(rows) > 25
    for row in rows:
        tests = re.findall(r"\]\(\.\./(tests/[\w/]+\.py)\)", row)
        assert tests or "--require-hashes" in row, row
        for path in tests:
            assert "def test_" in (REPO / path).read_text(), path
