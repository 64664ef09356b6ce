"""The worker processes: `dramatiq worker --queues events|bulk|webhooks` (see the Procfile).

`actors` says what a message asks for, `messages` reads messages of any kind, `rounds` joins the hints of one brand, and
`process` starts a worker process. Importing these opens nothing and registers nothing; `start` does.
"""

import sys
from pathlib import Path

from worker.process import start

__all__ = ["start"]


def _is_named_to_dramatiq() -> bool:
    """Whether this process is `dramatiq worker`: it was given a module, and importing that must leave a broker behind.

    `dramatiq worker:start` does the same, and calls `start` itself.
    """
    program = Path(sys.argv[0])
    return "worker" in sys.argv[1:] and (program.name == "dramatiq" or program.parent.name == "dramatiq")


if _is_named_to_dramatiq():
    start()
