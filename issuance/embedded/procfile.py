"""The Procfile: which processes Issuance consists of, and the shell command of each."""

import re

from issuance.embedded.environment import REPO

_LINE = re.compile(r"^([\w-]+):\s*(\S.*)$", re.MULTILINE)


def commands() -> dict[str, str]:
    """The commands of the Procfile by the name of their process, in its order."""
    return dict(_LINE.findall((REPO / "Procfile").read_text()))
