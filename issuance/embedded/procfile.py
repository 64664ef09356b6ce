"""The Procfile: which processes Issuance consists of, and the shell command of each."""

import re
from pathlib import Path

from issuance.embedded.environment import REPO

_LINE = re.compile(r"^([\w-]+):\s*(\S.*)$", re.MULTILINE)


def commands(top: Path = REPO) -> dict[str, str]:
    """The commands of the Procfile of a clone by the name of their process, in its order."""
    return dict(_LINE.findall((top / "Procfile").read_text()))
