"""`issuance serve`: every process of a host, on existing servers."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from issuance import log, tracing
from issuance.database import check_schema, engine_for
from issuance.embedded import procfile
from issuance.embedded.environment import REPO
from issuance.embedded.processes import Processes, Renewal
from issuance.settings import settings

#: The command that says whether the present code and settings could begin their work.
_TRIAL = (sys.executable, "-m", "issuance.api.trial")


def serve(
    small: Annotated[
        bool, typer.Option("--small", help="Fewer processes, for a machine of 1 GB and some thousand members.")
    ] = False,
    without_web: Annotated[
        bool, typer.Option("--without-web", help="All but web, while a backup is brought back. SIGHUP ends it.")
    ] = False,
) -> None:
    """Run every process of a host, on the servers that DATABASE_URL and REDIS_URL name.

    Web, scheduler and workers; one that ends is started again. SIGTERM or Ctrl-C stops all of them in order; SIGHUP
    starts all of them anew, as after an upgrade, and web answers all the while. The schema is not touched: issuance
    schema upgrade makes or upgrades it. Raises SettingsError, SchemaBehind, SchemaAhead.
    """
    own = settings()
    tracing.check()
    log.set_up(own.log_format, own.log_level)
    engine = engine_for(own.database_url)
    check_schema(engine)
    engine.dispose()
    beside_python = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)])}
    if own.sealing_key_file is not None:  # the processes work in another folder
        environment["ISSUANCE_SEALING_KEY_FILE"] = str(own.sealing_key_file.absolute())
    commands = procfile.commands(small=small)
    if without_web:
        del commands["web"]
    processes = Processes(None, commands, environment, sys.stdout)
    processes.ready.set()  # each of them waits for servers that are away
    renewal = Renewal("web", lambda: _fits(environment), lambda: procfile.commands(small=small))
    raise typer.Exit(processes.run(renewal=None if without_web else renewal))


def _fits(environment: Mapping[str, str]) -> bool:
    """Whether the present code and settings can work on the database; if not, a line says why."""
    tried = subprocess.run(_TRIAL, env=environment, cwd=REPO, check=False)  # noqa: S603 - of our own
    return tried.returncode == 0
