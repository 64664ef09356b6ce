"""The Procfiles: which processes Issuance consists of, and the shell command of each."""

import re
from pathlib import Path

from issuance.embedded.environment import REPO

_LINE = re.compile(r"^([\w-]+):\s*(\S.*)$", re.MULTILINE)
#: In a clone they stand at the top, in an installed distribution beside the package's code.
_PLACES = (REPO, Path(__file__).resolve().parents[1])


def commands(top: Path | None = None, *, small: bool = False) -> dict[str, str]:
    """The commands by the name of their process, in their order. `top`: the clone whose they are, None: this code's.
    `small`: of as few processes as can be."""
    name = "Procfile.small" if small else "Procfile"
    found = next(place / name for place in ([top] if top else _PLACES) if (place / name).is_file())
    return dict(_LINE.findall(found.read_text()))
