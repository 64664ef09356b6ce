"""Three PostgreSQL under Patroni in synchronous mode, with an etcd, on this machine (Debian's packages; as root)."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from campaigns.brokers.servers import free_port, program, wait_for

PASSWORD = "a-secret"
BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/bin"))
#: Seconds that all three have to be there, and the longest that Patroni may take to notice that the primary is gone.
PATIENCE, TTL = 300.0, 20
#: Debian's packages by a program of each.
_PACKAGES = {"patroni": "patroni", "etcd": "etcd-server", "haproxy": "haproxy", "redis-server": "redis-server"}
_SETTINGS = """
scope: issuance
name: {name}
restapi: {{listen: "127.0.0.1:{api}", connect_address: "127.0.0.1:{api}"}}
etcd3: {{host: "127.0.0.1:{etcd}"}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: 5
    retry_timeout: 5
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {{max_connections: 100, wal_log_hints: "on"}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, data-checksums]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  data_dir: {folder}/data
  bin_dir: {binaries}
  pgpass: {folder}/pgpass
  authentication:
    superuser: {{username: postgres, password: {password}}}
    replication: {{username: replicator, password: {password}}}
    rewind: {{username: rewinder, password: {password}}}
  parameters: {{unix_socket_directories: "{folder}"}}
  pg_hba:
    - local all all trust
    - host all all 127.0.0.1/32 scram-sha-256
    - host replication replicator 127.0.0.1/32 scram-sha-256
"""


#: As Patroni's own manual has it: the server is the one whose Patroni says that it is the primary.
_PROXY = """
defaults
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s
listen primary
    bind 127.0.0.1:{port}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
"""


def missing() -> str | None:
    """What this machine lacks for it; None: nothing."""
    if os.geteuid() != 0:
        return "only root starts servers as other users"
    lacking = [package for name, package in _PACKAGES.items() if program(name) is None]
    lacking += [] if (BINARIES / "postgres").exists() else ["postgresql"]
    return f"apt-get install {' '.join(lacking)}" if lacking else None


@dataclass
class Node:
    """One PostgreSQL with its Patroni."""

    name: str
    folder: Path
    port: int
    api: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        command = ["runuser", "-u", "postgres", "--", "patroni", str(self.folder / "patroni.yml")]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """kill -9 of Patroni and of PostgreSQL, as if the machine were gone."""
        assert self.process is not None
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((self.folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def says(self) -> dict[str, Any]:
        """What its Patroni says of it; nothing while it does not answer."""
        try:
            return dict(httpx.get(f"http://127.0.0.1:{self.api}/patroni", timeout=2).json())
        except (httpx.TransportError, ValueError):
            return {}


@dataclass
class Cluster:
    nodes: list[Node]

    @property
    def url(self) -> str:
        """Whichever node can be written to."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://issuance:{PASSWORD}@{hosts}/issuance?target_session_attrs=read-write&connect_timeout=3"

    def primary(self) -> Node | None:
        return next((node for node in self.nodes if node.says().get("role") in ("master", "primary")), None)

    def is_whole(self) -> bool:
        """Whether there is a primary that two others follow, of which one is waited for at every commit."""
        said = [node.says() for node in self.nodes]
        running = [one for one in said if one.get("state") in ("running", "streaming")]
        return len(running) == 3 and self.primary() is not None and any(one.get("sync_standby") for one in said)

    def wait_until_whole(self) -> None:
        until = time.monotonic() + PATIENCE
        while not self.is_whole():
            assert time.monotonic() < until, [node.says() for node in self.nodes]
            time.sleep(0.5)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """The cluster, whole, with Issuance's user and an empty database."""
    client, peer = free_port(), free_port()
    address, among = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", address]
    command += [
        "--advertise-client-urls",
        address,
        "--listen-peer-urls",
        among,
        "--initial-cluster",
        f"default={among}",
    ]
    command += ["--initial-advertise-peer-urls", among]
    log = (folder / "etcd.log").open("wb")
    etcd = subprocess.Popen(command, stdout=log, stderr=log)
    made = Cluster([Node(f"n{number}", folder / f"n{number}", free_port(), free_port()) for number in range(3)])
    try:
        for node in made.nodes:
            node.folder.mkdir()
            node.folder.joinpath("patroni.yml").write_text(
                _SETTINGS.format(
                    name=node.name,
                    api=node.api,
                    etcd=client,
                    ttl=TTL,
                    port=node.port,
                    folder=node.folder,
                    binaries=BINARIES,
                    password=PASSWORD,
                )
            )
            subprocess.run(["chown", "-R", "postgres", str(node.folder)], check=True)
            node.start()
        made.wait_until_whole()
        primary = made.primary()
        assert primary is not None
        address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{primary.port}/postgres"
        with psycopg.connect(address, autocommit=True) as operator:
            operator.execute(f"CREATE ROLE issuance LOGIN PASSWORD '{PASSWORD}'".encode())
            operator.execute("CREATE DATABASE issuance OWNER issuance")
        yield made
    finally:
        for node in made.nodes:
            if node.process is not None:
                node.kill()
        etcd.kill()
        etcd.wait()


@contextmanager
def haproxy(servers: Cluster, folder: Path) -> Iterator[str]:
    """The one address of a cluster behind HAProxy, which leads to whichever node is the primary."""
    port, settings = free_port(), folder / "haproxy.cfg"
    nodes = [f"    server {one.name} 127.0.0.1:{one.port} check port {one.api}\n" for one in servers.nodes]
    settings.write_text(_PROXY.format(port=port) + "".join(nodes))
    with (folder / "haproxy.log").open("wb") as log:
        proxy = subprocess.Popen([program("haproxy") or "", "-f", str(settings)], stdout=log, stderr=log)
    address = f"postgresql://issuance:{PASSWORD}@127.0.0.1:{port}/issuance?connect_timeout=3"

    def leads_there() -> bool:
        # Until it has looked at all of them it leads to each in turn.
        with suppress(psycopg.OperationalError):
            return all(is_primary() for _ in range(2 * len(servers.nodes)))
        return False

    def is_primary() -> bool:
        with psycopg.connect(address) as connection:
            return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,)

    try:
        wait_for(leads_there)
        yield address
    finally:
        proxy.kill()
        proxy.wait()
