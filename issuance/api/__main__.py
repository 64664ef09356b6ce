"""`python -m issuance.api`: the web processes. After SIGTERM they finish the requests that they have begun; after
SIGHUP new processes take their place."""

import gc
import importlib
import os
import shutil
import sys
import threading
from functools import partial
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket
from tempfile import mkdtemp
from typing import Any

import uvicorn

from issuance import hints, log, settings, tracing
from issuance.api import connections, processes
from issuance.api.sources import Counts
from issuance.api.stopping import Server
from issuance.database import allow, budget, check_schema, engine_for
from issuance.errors import SchemaAhead, SchemaBehind, SettingsError
from issuance.settings import Settings


def main() -> None:
    """Serve until told to stop."""
    try:
        given = settings.settings()
        tracing.check()
    except SettingsError as error:
        sys.exit(error.message)
    log.set_up(given.log_format, given.log_level)
    before = processes.handed_on()
    figures = before.figures if before else _folder_of_figures()
    try:
        if given.web_processes > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # before what counts is loaded: see api/metrics.py
        load()
        counts = Counts(given.web_processes)
        doors = [socket(fileno=door) for door in before.doors] if before else _doors(given)
        serve = partial(_serve, given, counts, doors)
        processes.run(given.web_processes, serve, doors, figures, before)
    finally:
        shutil.rmtree(figures, ignore_errors=True)


def _folder_of_figures() -> str:
    """The folder in which copies write what they count."""
    try:
        return mkdtemp(prefix="issuance-metrics-")
    except FileNotFoundError:  # a root that is read-only, with nothing mounted
        sys.exit("no folder for temporary files can be written to: mount one at /tmp, or name one in TMPDIR")


def _doors(given: Settings) -> list[socket]:
    """The web's door, and the metrics' if they have one of their own."""
    doors = [_door(given.host, given.port, "ISSUANCE_HOST and ISSUANCE_PORT")]
    if given.metrics_host is not None:
        doors.append(_door(given.metrics_host, given.metrics_port, "ISSUANCE_METRICS_HOST and ISSUANCE_METRICS_PORT"))
    return doors


def _door(host: str, port: int, named: str) -> socket:
    """A door at an address that two settings name. If there can be none, the process ends with a line that names the
    settings."""
    door = socket(AF_INET6 if ":" in host else AF_INET)
    door.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        sys.exit(f"{named} name an address at which web can not listen: {error.strerror}")
    return door


def load() -> None:
    """Load everything before there are copies: copies share the memory that they do not change."""
    for module in ("issuance.api.app", "issuance.log.lines"):
        importlib.import_module(module)
    # Threads take turns more often than Python's default, so that a long computation delays others' requests less. The
    # collector no longer looks at what was made by now, and looks at new objects a few at a time: nobody has a turn
    # meanwhile.
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 2, 1000)


def _serve(given: Settings, counts: Counts, doors: list[socket], place: int) -> None:
    """One process's work."""
    from issuance.api.app import create_app
    from issuance.api.health import metrics_door
    from issuance.heartbeats import Heart

    allow(budget(given.web_connections, looks=True))
    try:
        check_schema(engine_for(given.database_url))
    except (SchemaAhead, SchemaBehind) as error:  # it answers all the same, with 503: /readyz says why
        log.logger.error("schema_unfit", message=error.message)
    app = create_app(given)
    tracing.set_up("web")
    Heart(engine_for(given.database_url), "web", hints.outage.is_on).start()
    gc.freeze()
    plain: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    if given.metrics_host is not None and place == 0:
        config = uvicorn.Config(metrics_door(app), **plain, **connections.options(given))
        threading.Thread(target=uvicorn.Server(config).run, args=([doors[1]],), name="metrics", daemon=True).start()
    # There is no access log, because a path may contain a credit's code; our own log line has the route.
    config = uvicorn.Config(app, **plain, **connections.options(given, counts, place))

    def is_ready() -> None:
        log.logger.info("web_ready", process=place + 1, of=given.web_processes, host=given.host, port=given.port)
        processes.is_ready()

    Server(config, app.state.stopping, is_ready).run([doors[0]])
    tracing.end()


if __name__ == "__main__":
    main()
