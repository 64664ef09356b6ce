"""Brokers that Debian's packages have, each with its files in a folder, to be killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.sentinel import MasterNotFoundError, Sentinel

from issuance.brokers import client_of

#: Where Debian puts programs that are not on everybody's path; RabbitMQ itself before what makes it another user's.
_PATH = os.pathsep.join(["/usr/lib/rabbitmq/bin", os.environ.get("PATH", ""), "/usr/sbin"])
PATIENCE = 120.0
PASSWORD, SERVICE = "a-secret", "issuance"


def program(name: str) -> str | None:
    """The path of a program; None where it is not installed."""
    return shutil.which(name, path=_PATH)


@dataclass
class Broker:
    """A broker that works. `url`: its address for Issuance."""

    url: str
    start: Callable[[], "subprocess.Popen[bytes]"]
    answers: Callable[[], bool]
    others: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | None" = None

    def begin(self) -> None:
        """Start it, and wait until it answers. One that ends at once is started again: the name, or the port, of one
        that was killed may not be free yet."""
        self.process = self.start()

        def answers() -> bool:
            if self.process is not None and self.process.poll() is not None:
                self.process = self.start()
            return self.answers()

        wait_for(answers)

    def kill(self) -> None:
        """Kill it: what was in it is gone."""
        assert self.process is not None
        _kill(self.process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(answers: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not answers():
        assert time.monotonic() < until, "it does not answer"
        time.sleep(0.1)


@contextmanager
def redis_in_tls(folder: Path) -> Iterator[Broker]:
    """A Redis that speaks TLS alone and asks for a password, by a certificate of its own."""
    port, key, certificate = free_port(), folder / "key.pem", folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *names], check=True, capture_output=True)
    tls = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    more = ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no", "--requirepass", PASSWORD]
    url = f"rediss://:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={certificate}"
    yield from _running(Broker(url, lambda: _redis(folder, *tls, *more), lambda: _answers(url)))


@contextmanager
def redis_with_sentinel(folder: Path) -> Iterator[Broker]:
    """Two Redis, of which one is the master, and a Sentinel that makes the other one the master when it is killed."""
    ports, watches = [free_port(), free_port()], free_port()
    secret = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
    follows = ["--replicaof", "127.0.0.1", str(ports[0])]
    replica = _redis(folder, "--port", str(ports[1]), *secret, *follows)
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {watches}\ndir {folder}\nsentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 1\n"
        f"sentinel auth-pass {SERVICE} {PASSWORD}\nsentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )
    url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{watches}/{SERVICE}/0"

    def start() -> "subprocess.Popen[bytes]":
        return _redis(folder, "--port", str(ports[0]), *secret)

    def knows_both() -> bool:
        try:
            kind: Any = Sentinel  # it has no types
            return _answers(url) and bool(kind([("127.0.0.1", watches)]).discover_slaves(SERVICE))
        except (MasterNotFoundError, redis.RedisError):
            return False

    broker = Broker(url, start, knows_both, [replica])
    broker.others.append(subprocess.Popen([program("redis-sentinel") or "", str(settings)], stdout=subprocess.DEVNULL))
    yield from _running(broker)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Broker]:
    """A RabbitMQ, with an Erlang port mapper of its own."""
    port, mapper = free_port(), free_port()
    environment = {
        **os.environ,
        "PATH": _PATH,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_NODENAME": f"issuance{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
    }

    def start() -> "subprocess.Popen[bytes]":
        shutil.rmtree(folder / "data", ignore_errors=True)  # nothing of the queue is kept
        command = [program("rabbitmq-server") or ""]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )

    def answers() -> bool:
        import pika

        try:
            pika.BlockingConnection(pika.URLParameters(url)).close()
        except pika.exceptions.AMQPError:
            return False
        return True

    url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
    names = subprocess.Popen([program("epmd") or "epmd", "-port", str(mapper)], process_group=0)
    yield from _running(Broker(url, start, answers, [names]))


def _redis(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    usual = ["--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--maxmemory-policy", "noeviction"]
    return subprocess.Popen([program("redis-server") or "", *usual, *options], stdout=subprocess.DEVNULL)


def _answers(url: str) -> bool:
    try:
        with client_of(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _running(broker: Broker) -> Iterator[Broker]:
    try:
        broker.begin()
        yield broker
    finally:
        for process in (broker.process, *broker.others):
            if process is not None:
                _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
