"""The rights of a user who owns nothing, as docs/installing.md has the lines that give them."""

import re

from tests.serving import REPO

_SAID = re.search(r"^    CREATE ROLE issuance_web.*?(?=\n\n)", (REPO / "docs/installing.md").read_text(), re.M | re.S)


def statements(password: str) -> list[bytes]:
    """With the user's password. The first is an operator's, the others the tables' owner's."""
    assert _SAID is not None
    lines = re.sub(r"--.*", "", _SAID[0]).replace("…", password)
    return [one.encode() for one in lines.split(";") if one.strip()]
