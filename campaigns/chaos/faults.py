"""The faults by name. A lasting fault ends after `Weather.lasting` seconds."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import redis

from campaigns.faults.orders import Order
from campaigns.faults.site import WORKERS, Site

RUBBISH = (b"\xff\x00 no JSON", b'{"actor_name": "unheard_of"}', b"[]", b"{", b"[" * 5000)


@dataclass(frozen=True)
class Weather:
    """What a fault needs: a site, chance, how long a lasting fault lasts, and a way to make a clock jump."""

    site: Site
    chance: random.Random
    lasting: float
    jump: Callable[[], None]

    def worker(self) -> str:
        return self.chance.choice(WORKERS)

    def last(self) -> None:
        time.sleep(self.lasting)


Fault = Callable[[Weather], None]


def _kill_worker(weather: Weather) -> None:
    weather.site.kill(weather.worker())


def _kill_child(weather: Weather) -> None:
    weather.site.kill_child(weather.worker())


def _kill_scheduler(weather: Weather) -> None:
    weather.site.kill("scheduler")


def _kill_web(weather: Weather) -> None:
    weather.site.kill("web")


def _freeze(weather: Weather) -> None:
    """Stop a process, and let it go on later; it does not notice."""
    name = weather.chance.choice([*WORKERS, "scheduler"])
    pid = weather.site.pid(name)
    weather.site.send(name, signal.SIGSTOP)
    try:
        weather.last()
    finally:
        if weather.site.pid(name) == pid:
            weather.site.send(name, signal.SIGCONT)


def _wipe(weather: Weather) -> None:
    with suppress(redis.RedisError):
        weather.site.flush()


def _kill_valkey(weather: Weather) -> None:
    weather.site.kill("valkey")


def _fill_valkey(weather: Weather) -> None:
    """Leave Valkey no memory: it refuses every write."""
    _configured(weather, "1")


def _configured(weather: Weather, most: str) -> None:
    with suppress(redis.RedisError), weather.site.redis() as client:
        client.config_set("maxmemory", most)
        weather.last()
    with suppress(redis.RedisError), weather.site.redis() as client:
        client.config_set("maxmemory", "0")


def _read_only_valkey(weather: Weather) -> None:
    """Make Valkey a replica of a server that does not exist."""
    with suppress(redis.RedisError), weather.site.redis() as client:
        client.replicaof("127.0.0.1", "1")
        weather.last()
    with suppress(redis.RedisError), weather.site.redis() as client:
        client.replicaof("NO", "ONE")


def _stop_postgres(weather: Weather) -> None:
    weather.site.stop_postgres()


def _kill_postgres(weather: Weather) -> None:
    weather.site.stop_postgres(signal.SIGKILL)


def _lose_reply(weather: Weather) -> None:
    weather.site.order(Order("reply", kind="commit", process=weather.chance.choice([*WORKERS, "scheduler", "web"])))


def _cut(weather: Weather) -> None:
    weather.site.order(Order("cut", process=weather.chance.choice([*WORKERS, "scheduler", "web"])))


def _die_at_a_commit(weather: Weather) -> None:
    after = weather.chance.random() < 0.5
    weather.site.order(Order("kill_after" if after else "kill", kind="commit", process=weather.worker()))


def _jump(weather: Weather) -> None:
    weather.jump()


def _second_scheduler(weather: Weather) -> None:
    """Run two schedulers for a while, then kill the second."""
    other = weather.site.start_another("scheduler")
    weather.last()
    other.kill()
    other.wait()


def _poison(weather: Weather) -> None:
    body = weather.chance.choice(RUBBISH)
    queue = weather.chance.choice(["events", "bulk", "webhooks"])
    with suppress(redis.RedisError), weather.site.redis() as client:
        name = f"rubbish-{weather.chance.getrandbits(64)}"
        client.hset(f"dramatiq:{queue}.msgs", name, body)
        client.rpush(f"dramatiq:{queue}", name)


FAULTS: dict[str, Fault] = {
    "kill -9 of a worker": _kill_worker,
    "kill -9 of a worker's child": _kill_child,
    "kill -9 of the scheduler": _kill_scheduler,
    "kill -9 of web": _kill_web,
    "SIGSTOP": _freeze,
    "Valkey wiped": _wipe,
    "Valkey killed": _kill_valkey,
    "Valkey out of memory": _fill_valkey,
    "Valkey read-only": _read_only_valkey,
    "PostgreSQL stopped at once": _stop_postgres,
    "PostgreSQL killed": _kill_postgres,
    "reply lost after COMMIT": _lose_reply,
    "connection cut": _cut,
    "kill -9 at a COMMIT": _die_at_a_commit,
    "clock jump": _jump,
    "second scheduler": _second_scheduler,
    "unreadable message": _poison,
}
