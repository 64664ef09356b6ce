"""The servers of a home: the user's own if DATABASE_URL and REDIS_URL are set, else embedded ones."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from issuance.embedded import majors, running, watcher
from issuance.embedded.lock import SupervisorLock, UsersLock
from issuance.embedded.postgres import Postgres
from issuance.embedded.server import Server, ServerError
from issuance.embedded.valkey import Valkey

SERVERS: dict[str, type[Server]] = {"DATABASE_URL": Postgres, "REDIS_URL": Valkey}


class Servers:
    """The embedded servers of `home`, for those of DATABASE_URL and REDIS_URL that are not set.

    `ours`: this process runs them. Else another one does, whose web process listens on `port` if it has one.
    """

    def __init__(self, home: Path, *, ours: bool, durable: bool = True, port: object = None) -> None:
        self.ours = ours
        self.port = port
        self.embedded = {
            variable: server(home, durable=durable)
            for variable, server in SERVERS.items()
            if not os.environ.get(variable)
        }

    def addresses(self) -> dict[str, str]:
        """The environment variables for a program that uses them, with the port of the web process if there is one."""
        port = {} if self.port is None else {"ISSUANCE_PORT": str(self.port)}
        return {variable: server.url for variable, server in self.embedded.items()} | port

    @property
    def postgres(self) -> Postgres | None:
        """The embedded PostgreSQL, if there is one."""
        server = self.embedded.get("DATABASE_URL")
        return server if isinstance(server, Postgres) else None

    def start(self) -> None:
        for server in self.embedded.values():
            if isinstance(server, Postgres):
                majors.bring_up(server)
            server.start()

    def stop(self) -> None:
        for server in reversed(self.embedded.values()):
            server.stop()

    def restart_ended(self) -> list[str]:
        """Starts the servers again that ended by themselves; the result for each, in a sentence.

        One that ends while it starts, for instance because it is killed during its recovery, is tried again next time.
        """
        said = []
        for server in self.embedded.values():
            if server.has_ended():
                try:
                    server.start()
                    said.append(f"{server.name} had ended and runs again")
                except ServerError as error:
                    said.append(f"{error.message}; trying again")
        return said


@contextmanager
def supervised(home: Path, lock: SupervisorLock, *, durable: bool = True) -> Iterator[Servers]:
    """Runs the embedded servers of `home`, whose lock this process holds. Stops them at the end."""
    running.stop_left_behind(home)
    servers = Servers(home, ours=True, durable=durable)
    watching = watcher.start(home)
    try:
        servers.start()
        lock.tell(ready=True)
        yield servers
    finally:
        servers.stop()
        watching.communicate()
        lock.release()


@contextmanager
def used(home: Path) -> Iterator[Servers]:
    """The servers of `home`, while they are used. If they do not run already, they are started and then stopped."""
    users = UsersLock(home)
    lock = SupervisorLock(home)
    users.join()
    if not lock.take():
        lock.wait_until_ready()
        yield Servers(home, ours=False, port=lock.holder().get("port"))
        return
    users.leave()
    with supervised(home, lock) as servers:
        yield servers
        users.wait_for_all_to_leave()
