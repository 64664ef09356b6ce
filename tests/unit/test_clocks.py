"""Nothing that matters is decided by the clock of the host that decides it."""

import ast
from pathlib import Path

REPO = Path(__file__).parents[2]
#: What asks a host for the time.
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today", "datetime.today"}
#: What runs on one machine, beside a person.
BESIDE = ("issuance/cli", "issuance/embedded")
#: Who may all the same, and why.
MAY = {
    "issuance/console/rendering.py": "says how long ago something was, in a word",
    "issuance/tenancy/rates.py": "until the broker has said what time it is, and where none counts",
}


def test_only_these_ask_their_hosts_clock() -> None:
    """The clocks of hosts may differ: real time is PostgreSQL's, and in the queue the broker's."""
    asking = set()
    for folder in ("issuance", "scheduler", "worker"):
        for path in (REPO / folder).rglob("*.py"):
            name = path.relative_to(REPO).as_posix()
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            if not name.startswith(BESIDE) and any(ast.unparse(call.func) in CLOCKS for call in calls):
                asking.add(name)
    assert asking == set(MAY)
