"""`python -m issuance.api`: the web processes. After SIGTERM they finish the requests that they have begun."""

import gc
import importlib
import os
import sys
import threading
from socket import socket
from tempfile import TemporaryDirectory

import uvicorn

from issuance import hints, log, settings, tracing
from issuance.api import connections, processes
from issuance.database import allow, budget, check_schema, engine_for
from issuance.errors import SchemaAhead, SchemaBehind, SettingsError
from issuance.settings import Settings

#: Seconds that requests have to finish after SIGTERM.
GRACE_SECONDS = 20


def main() -> None:
    """Serve until told to stop."""
    try:
        given = settings.settings()
        tracing.check()
    except SettingsError as error:
        sys.exit(error.message)
    log.set_up(given.log_format, given.log_level)
    with TemporaryDirectory(prefix="issuance-metrics-") as figures:
        if given.web_processes > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # before what counts is loaded: see api/metrics.py
        load()
        counts = connections.Counts(given.web_processes)
        door = uvicorn.Config("", host=given.host, port=given.port, log_config=None).bind_socket()
        processes.run(given.web_processes, lambda place: _serve(given, place, counts, door))


def load() -> None:
    """Load everything before there are copies, which share what they do not change."""
    for module in ("issuance.api.app", "issuance.log.lines"):
        importlib.import_module(module)
    # Threads take turns more often than Python has them: who computes for long holds up others' requests less. What was
    # made by now is looked through for garbage no more.
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _serve(given: Settings, place: int, counts: connections.Counts, door: socket) -> None:
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
    if given.metrics_host is not None and place == 0:
        config = uvicorn.Config(
            metrics_door(app),
            host=given.metrics_host,
            port=given.metrics_port,
            log_config=None,
            access_log=False,
            server_header=False,
            **connections.options(given),
        )
        threading.Thread(target=uvicorn.Server(config).run, name="metrics", daemon=True).start()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # our own log line has the route, since a path may contain a credit's code
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **connections.options(given, counts, place),
    )
    _Server(config, place, given).run([door])
    tracing.end()


class _Server(uvicorn.Server):
    """uvicorn's, which says when it is ready."""

    def __init__(self, config: uvicorn.Config, place: int, given: Settings) -> None:
        super().__init__(config)
        self._ready = {"process": place + 1, "of": given.web_processes, "host": given.host, "port": given.port}

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            log.logger.info("web_ready", **self._ready)


if __name__ == "__main__":
    main()
