"""The project's documents, and how to read them."""

import re
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).parents[2]
DOCS = REPO / "docs"
GLOSSARY = REPO / "GLOSSARY.md"
DOCUMENTS = sorted([*REPO.glob("*.md"), *DOCS.rglob("*.md")])
SCHEMA = (REPO / "schema.sql").read_text()
#: What stands beside the sentence that today's code does not do yet.
NOT_BUILT = "**Not built yet"


def named(document: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    return (found.group(1) for found in pattern.finditer(document.read_text()))


def section(document: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    begin = re.search(rf"^{re.escape(heading)}(?!\w).*$", document.read_text(), re.MULTILINE)
    assert begin is not None, f"{document.name} has no heading {heading!r}"
    rest = document.read_text()[begin.end() :]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
