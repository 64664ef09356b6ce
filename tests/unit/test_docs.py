"""The documents keep up with the code: what they name is there, and what is there they name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from issuance.database.connections import ORDINARY_ROLE
from issuance.deciding.reasons import Reason
from issuance.health import MEANINGS
from issuance.settings import Settings

REPO = Path(__file__).parents[2]
DOCUMENTS = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")])

LINK = re.compile(r"\]\(([^)#:]+)\)")
#: A path in code marks, such as `issuance/errors.py` or `engine/due.py`.
PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`")


def named(document: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    return (found.group(1) for found in pattern.finditer(document.read_text()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_what_a_document_names_is_there(document: Path) -> None:
    """Links lead somewhere, and paths in code marks are paths in the repository or the package."""
    missing = [link for link in named(document, LINK) if not (document.parent / link).exists()]
    missing += [
        path for path in named(document, PATH) if not ((REPO / path).exists() or (REPO / "issuance" / path).exists())
    ]
    assert missing == []


def test_the_readme_lists_every_setting() -> None:
    """All settings, and no other, are in the README's table."""
    table = (REPO / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    assert listed == {field.alias for field in Settings.model_fields.values()}


def test_the_semantics_list_every_reason() -> None:
    """The closed set of reasons is told to users whole."""
    told = (REPO / "docs" / "semantics.md").read_text().partition("## Reasons")[2]
    assert set(re.findall(r"`([a-z_]+)`", told)) == {reason.value for reason in Reason}


def test_the_metrics_to_alarm_on_exist() -> None:
    """Operators are pointed to figures that are exported."""
    told = set(re.findall(r"`(issuance_\w+)`", (REPO / "docs" / "operations.md").read_text())) - {ORDINARY_ROLE}
    assert told
    assert told <= {f"issuance_{figure}" for figure in MEANINGS}
