"""`python -m issuance.api`: the web process. After SIGTERM it finishes the requests that it has begun."""

import gc
import sys
import threading

import uvicorn

from issuance import log, settings
from issuance.api import connections
from issuance.api.app import create_app
from issuance.api.health import metrics_door
from issuance.database.connections import check_schema, engine_for
from issuance.errors import SchemaAhead, SchemaBehind, SettingsError

#: Seconds that requests have to finish after SIGTERM.
GRACE_SECONDS = 20


def main() -> None:
    """Serve until told to stop."""
    try:
        given = settings.settings()
    except SettingsError as error:
        sys.exit(error.message)
    log.set_up(given.log_format, given.log_level)
    try:
        check_schema(engine_for(given.database_url))
    except (SchemaAhead, SchemaBehind) as error:  # it answers all the same, with 503: /readyz says why
        log.logger.error("schema_unfit", message=error.message)
    app = create_app(given)
    # Threads take turns more often than Python has them: who computes for long holds up others' requests less. What was
    # made by now is looked through for garbage no more.
    sys.setswitchinterval(0.001)
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    if given.metrics_host is not None:
        door = uvicorn.Config(
            metrics_door(app),
            host=given.metrics_host,
            port=given.metrics_port,
            log_config=None,
            access_log=False,
            server_header=False,
            **connections.options(given),
        )
        threading.Thread(target=uvicorn.Server(door).run, name="metrics", daemon=True).start()
    uvicorn.run(
        app,
        host=given.host,
        port=given.port,
        log_config=None,
        access_log=False,  # our own log line has the route, since a path may contain a credit's code
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **connections.options(given),
    )


if __name__ == "__main__":
    main()
