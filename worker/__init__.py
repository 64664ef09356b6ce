"""The worker processes: `python -m worker --queues events|bulk|webhooks` (see the Procfile).

`process` starts a worker process, `messages` reads messages of any kind, `actors` does what they ask for, and `backlog`
joins the hints of one brand. Importing them opens nothing and registers nothing: `start` does. One exception: the
command `dramatiq worker` only imports this package, so then the import calls `start`.
"""

import sys
from pathlib import Path

from worker.process import start

__all__ = ["start"]


def _is_named_to_dramatiq() -> bool:
    """Whether this process is `dramatiq worker`; `dramatiq worker:start` calls `start` itself."""
    program = Path(sys.argv[0])
    return "worker" in sys.argv[1:] and (program.name == "dramatiq" or program.parent.name == "dramatiq")


if _is_named_to_dramatiq():
    start()
