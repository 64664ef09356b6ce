"""`issuance up`: servers, schema, the processes of the Procfile, and a sandbox brand to try them with."""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, cast

import httpx
import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError

from issuance import addresses, brokers, hints, limits, settings, tracing
from issuance.database import schema
from issuance.database.schema import Until
from issuance.embedded import majors, procfile
from issuance.embedded.environment import ISSUANCE
from issuance.embedded.lock import AlreadyRuns, SupervisorLock
from issuance.embedded.output import LogFile
from issuance.embedded.postgres import Postgres
from issuance.embedded.processes import Processes
from issuance.embedded.server import ServerError, free_port
from issuance.embedded.servers import Servers, supervised, used
from issuance.embedded.valkey import no_retry
from issuance.errors import IssuanceError
from issuance.people.people import OPERATOR
from issuance.shown import shown

#: Seconds that the processes have to be ready for work.
READY_LIMIT = 90.0
#: Seconds between two looks at whether the servers still run.
LOOKS_EVERY = 0.5

WELCOME = """Issuance runs at {address} and describes every call at {address}/docs (Ctrl-C stops it)
Console: {link} (lets you in once)
Sandbox key: {key}
Try it: curl -H "Authorization: Bearer {key}" {address}/sandbox/clock (or ./run demo: some months of a made-up club)
Logs: {log}
"""
#: The name of the file in the home to which the processes' logs go.
LOG = "run.log"


def up() -> int:
    """Runs everything until it is told to stop; returns the exit code."""
    home = settings.read(settings.OwnSettings).home.absolute()
    log = home / LOG

    def greet(house: "House") -> None:
        key, link = house.sandbox_key(), house.console_link()  # the brand is made with its key
        sys.stdout.write(WELCOME.format(address=house.address, link=link, key=key, log=log))
        sys.stdout.flush()

    return run_everything(greet, output=lambda: LogFile(log))


def demo(arguments: list[str]) -> int:
    """Runs `issuance demo` while everything runs beside it, or where it runs already; the exit code is the demo's."""
    codes: list[int] = []

    def show(house: "House") -> None:
        codes.append(subprocess.call([*ISSUANCE, "demo", *arguments], env=house.environment))
        house.processes.stop(codes[0])

    own = settings.read(settings.OwnSettings)
    home, lock = own.home, SupervisorLock(own.home)
    # `./run` says its port; `./run issuance serve` listens where the settings say.
    if not lock.take() and (lock.holder().get("port") or asked(f"{addresses.here(own.host, own.port)}/readyz") == 200):
        with used(home) as servers:
            return subprocess.call([*ISSUANCE, "demo", *arguments], env=os.environ | servers.addresses())
    lock.release()
    code = run_everything(show, output=lambda: (home / "demo.log").open("w"), any_port=True)
    return codes[0] if codes else code


def run_everything(
    then: Callable[["House"], None], *, output: Callable[[], "IO[str] | LogFile"], any_port: bool = False
) -> int:
    """Starts everything, does `then` once it is ready, and runs on until something says stop; the exit code. `output`
    opens the log of the processes."""
    tracing.check()
    own = settings.read(settings.OwnSettings)
    lock = SupervisorLock(own.home)
    take(lock)
    try:
        port = port_to_listen_on(own, any_port=any_port)
    except ServerError:
        lock.release()
        raise
    say(f"starting in {own.home} …")
    with supervised(own.home, lock) as servers:
        os.environ.update(servers.addresses(), ISSUANCE_PORT=str(port))
        prepare_database(servers)
        with output() as log:
            return House(own, port, lock, servers, cast(IO[str], log)).run(then)


def take(lock: SupervisorLock) -> None:
    """Takes the home; a command that has it for a moment is waited for. Raises AlreadyRuns."""
    deadline = time.monotonic() + limits.current.embedded.moment
    told = False
    while not lock.take():
        holder = lock.holder()
        if holder.get("address") or time.monotonic() > deadline:
            raise AlreadyRuns(holder)
        if not told:
            say(f"waiting for the command that uses {lock.path.parent} (pid {holder.get('pid', 'unknown')}) …")
            told = True
        time.sleep(0.1)


def prepare_database(servers: Servers) -> None:
    """Makes or upgrades the tables of this environment; one clear line when its servers can not be used.

    Its own database is upgraded as it is, of whatever version. Another one is given tables when it has none.
    """
    given = settings.read(settings.Settings)
    url = given.schema_url if servers.postgres is None else given.database_url
    try:
        found = schema.status(url)
        if servers.postgres is not None and not (found.empty or found.newest):
            upgrade_embedded(servers.postgres, url)
        elif found.empty:
            schema.apply(url)
        else:
            schema.check(url)
    except (SQLAlchemyError, psycopg.Error) as error:
        raise ServerError(f"DATABASE_URL can not be used: {_first_line(getattr(error, 'orig', error))}") from None
    if brokers.is_rabbitmq(given.redis_url):
        if not brokers.answers(hints.broker_for(given.redis_url)):
            raise ServerError("REDIS_URL can not be used: RabbitMQ does not answer")
        return
    try:
        with brokers.client_of(given.redis_url, retry=no_retry()) as client:
            client.ping()
    except redis.RedisError as error:
        raise ServerError(f"REDIS_URL can not be used: {_first_line(error)}") from None


def upgrade_embedded(postgres: Postgres, url: str) -> None:
    """Upgrades the schema of an embedded database; a copy of what was there is kept until everything has worked."""
    say(f"upgrading the database's schema; what was there is kept in {postgres.before} until everything has worked …")
    postgres.stop()
    postgres.keep_what_is_there()
    postgres.start()
    try:
        schema.upgrade(url, Until.AFTER)
    except IssuanceError as error:
        raise ServerError(f"{error.message} (what was there before is in {postgres.before})") from None


class House:
    """Everything that one `./run` runs."""

    def __init__(
        self, own: settings.OwnSettings, port: int, lock: SupervisorLock, servers: Servers, output: IO[str]
    ) -> None:
        self.home = own.home
        self.port = port
        self.address = addresses.here(own.host, port)
        self.environment = dict(os.environ)
        self.processes = Processes(self.home, procfile.commands(), self.environment, output, news=say)
        self._lock = lock
        self._servers = servers

    def run(self, then: Callable[["House"], None]) -> int:
        """Runs everything, does `then` once it is ready, and returns the exit code when all of it has ended."""
        self._in_thread(lambda: self._when_ready(then))
        return self.processes.run()

    def _in_thread(self, work: Callable[[], None]) -> None:
        """Does something beside the processes. If it fails, they are stopped."""

        def do() -> None:
            try:
                work()
            except IssuanceError as error:
                say(error.message)
                self.processes.stop(1)
            except BrokenPipeError:  # nobody reads it: `./run | true`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush must not fail too
                self.processes.stop(1)

        threading.Thread(target=do, daemon=True).start()

    def _when_ready(self, then: Callable[["House"], None]) -> None:
        self._wait_until_ready()
        self.processes.ready.set()
        if not self.processes.stopping.is_set():
            self._lock.tell(ready=True, address=self.address, port=self.port)
            if self._servers.postgres is not None:
                majors.forget(self._servers.postgres)
            self._in_thread(self._keep_servers_running)
            then(self)

    def _keep_servers_running(self) -> None:
        while not self.processes.stopping.wait(LOOKS_EVERY):
            for sentence in self._servers.restart_ended():
                say(sentence)

    def _wait_until_ready(self) -> None:
        waited = 0.0
        while not self.processes.stopping.wait(0.1) and self._get("/readyz") != 200:
            waited += 0.1
            if waited > READY_LIMIT:
                raise ServerError(f"not ready after {READY_LIMIT:.0f} s: {self.address}/readyz says what is missing")

    def sandbox_key(self) -> str:
        """The key of this home's first sandbox brand, which is created if the database does not know it."""
        saved = self.home / "sandbox.json"
        try:
            key: str = json.loads(saved.read_text())["key"]
            if self._get("/sandbox/clock", key) == 200:
                return key
        except (OSError, ValueError, KeyError):
            pass
        command = [*ISSUANCE, "brands", "create", "--name", "Sandbox", "--timezone", "UTC", "--sandbox"]
        made = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise ServerError(f"could not make the sandbox brand: {made.stderr.strip()}")
        saved.touch(0o600)
        saved.write_text(made.stdout)
        key = json.loads(made.stdout)["key"]
        return key

    def console_link(self) -> str:
        """A link that lets whoever started this into the console, as an admin of the sandbox brand."""
        brand_id: str = json.loads((self.home / "sandbox.json").read_text())["brand_id"]
        who = ["--brand", brand_id, "--email", OPERATOR, "--role", "admin", "--json"]
        made = subprocess.run(
            [*ISSUANCE, "people", "add", *who], env=self.environment, capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise ServerError(f"could not make a link to the console: {made.stderr.strip()}")
        link: str = json.loads(made.stdout)["link"]
        return link

    def _get(self, path: str, key: str | None = None) -> int:
        return asked(self.address + path, key)


def port_to_listen_on(own: settings.OwnSettings, *, any_port: bool) -> int:
    """The port of the settings if it is free, else any free one with `any_port`. Raises ServerError."""
    try:
        family = socket.AF_INET6 if ":" in own.host else socket.AF_INET
        socket.create_server((own.host, own.port), family=family).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ServerError(f"cannot listen on {own.host}: {error.strerror}; set ISSUANCE_HOST") from None
        if any_port:
            return free_port()
        raise ServerError(
            f"port {own.port} on {own.host} is in use; stop the program that uses it, or set ISSUANCE_PORT"
        ) from None
    return own.port


def asked(url: str, key: str | None = None) -> int:
    """The status with which an address answers; 0: it does not."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return httpx.get(url, headers=headers, timeout=5, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]


def say(text: str) -> None:
    print(f"issuance: {shown(text)}", file=sys.stderr, flush=True)
