"""PgBouncer before a PostgreSQL server, as managed servers have it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

#: What Debian's package installs.
PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
#: Connections to the server: far fewer than its clients have, so that sessions do change hands.
POOL = 20
#: Seconds that it may take to listen.
PATIENCE = 60.0

_SETTINGS = """
[databases]
* = host={host} port={port} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 2000
default_pool_size = {pool}
server_idle_timeout = 10
logfile = {folder}/pgbouncer.log
"""


@contextmanager
def pgbouncer(server: str, *, pool: int = POOL) -> Iterator[tuple[str, int]]:
    """The host and port of a pooler in transaction mode before the server at `server`, with `pool` connections to each
    database there.

    It takes every database and refuses every startup option, as it does without further words in its settings.
    """
    with tempfile.TemporaryDirectory(prefix="issuance-pooler-") as folder, _running(server, Path(folder), pool) as port:
        yield "127.0.0.1", port


@contextmanager
def _running(server: str, folder: Path, pool: int) -> Iterator[int]:
    assert PROGRAM is not None, "apt-get install pgbouncer"
    known = conninfo_to_dict(server)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen: int = probe.getsockname()[1]
    settings = folder / "pgbouncer.ini"
    named = {name: known.get(name, "") for name in ("host", "port", "user", "password")}
    settings.write_text(_SETTINGS.format(**named, listen=listen, pool=pool, folder=folder))
    settings.chmod(0o600)
    # It does not work for root.
    as_whom = ["-u", "nobody"] if os.geteuid() == 0 else []
    if as_whom:
        for one in (folder, settings):
            shutil.chown(one, "nobody")
    with subprocess.Popen([PROGRAM, "-q", *as_whom, str(settings)], stdin=subprocess.DEVNULL) as process:
        try:
            _wait_for(listen, process)
            yield listen
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
