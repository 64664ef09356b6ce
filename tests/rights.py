"""The rights of a user who owns nothing, as docs/installing.md has the lines that give them."""

import re

from tests.serving import REPO

_SAID = re.search(r"^    CREATE ROLE issuance_web.*?(?=\n\n)", (REPO / "docs/installing.md").read_text(), re.M | re.S)
#: The user's password in these statements.
PASSWORD = "its own"


def statements() -> list[bytes]:
    """The first is an operator's, the others the tables' owner's."""
    assert _SAID is not None
    lines = re.sub(r"--.*", "", _SAID[0]).replace("…", PASSWORD)
    return [one.encode() for one in lines.split(";") if one.strip()]
