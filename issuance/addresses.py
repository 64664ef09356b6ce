"""Addresses of servers, as people write them: what they may be, and what the drivers want to hear.

They hold passwords: no error says a piece of one.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

#: The schemes people write, all of which mean PostgreSQL; SQLAlchemy wants to hear of the driver.
POSTGRESQL_SCHEMES = ("postgresql+psycopg://", "postgresql://", "postgres://")
#: What an address of the queue begins with: of a Redis, of the Sentinels before it, or of RabbitMQ.
BROKER_SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://", "amqp://", "amqps://")
#: A host as requests and addresses name it: a name or an IP address, and a port.
HOST = re.compile(r"(?:[0-9A-Za-z_](?:[0-9A-Za-z._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_SENTINEL = re.compile(r"[^/]+//[^/]+/[^/?]+(/\d+)?/?(\?.*)?")
#: What of an address libpq reads as a number, only when it connects; and how it does.
_NUMBERS = ("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count")
_NUMBER = re.compile(r"\s*[-+]?[0-9]+\s*")
#: The words that libpq knows for these.
_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}


def of_database(value: str) -> str:
    """A database's address, with the driver that SQLAlchemy wants named. Raises ValueError for one that libpq could not
    use."""
    address = value
    for scheme in POSTGRESQL_SCHEMES:
        if value.startswith(scheme):
            address = POSTGRESQL_SCHEMES[0] + value.removeprefix(scheme)
    try:
        known = conninfo_to_dict(libpq_url(address))
    except ProgrammingError:  # says a piece of the value
        raise ValueError("it must be an address that libpq knows, such as postgresql://…") from None
    _check_numbers(known)
    for name, words in _WORDS.items():
        if known.get(name) and known[name] not in words:
            raise ValueError(f"its {name} must be one of {', '.join(words)}")
    return address


def libpq_url(database_url: str) -> str:
    """`database_url` without the driver that SQLAlchemy wants named."""
    return database_url.replace(POSTGRESQL_SCHEMES[0], POSTGRESQL_SCHEMES[1], 1)


def check_broker(value: str) -> None:
    """Raises ValueError for what is no address of a broker."""
    if not value.startswith(BROKER_SCHEMES):
        raise ValueError(f"it must begin with {', '.join(BROKER_SCHEMES[:-1])} or {BROKER_SCHEMES[-1]}")
    if "+sentinel:" in value and not _SENTINEL.fullmatch(value):
        raise ValueError("a Sentinel's address is redis+sentinel://host:port,host:port/service")
    if "+sentinel:" in value:
        hosts = value.partition("//")[2].partition("/")[0].rpartition("@")[2]
        each = [f"//{host}" for host in hosts.split(",")]
    else:
        each = value.split(";") if value.startswith("amqp") else [value]  # several of RabbitMQ
    for address in each:
        parts = parts_of(address)
        if parts.query and value.startswith(("redis://", "rediss://", "unix://")):
            _check_options(value)


def _check_options(url: str) -> None:
    """Raises ValueError where redis-py would raise when it connects."""
    import redis  # late: most addresses have no options

    try:
        redis.Redis.from_url(url).connection_pool.make_connection()
    except (TypeError, ValueError, redis.RedisError):
        raise ValueError("its options must be those that redis-py knows for such an address") from None


def here(host: str, port: int) -> str:
    """Where a process that listens on a host and a port is asked from this machine."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - it listens on every address, this one too
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def parts_of(address: str) -> SplitResult:
    """An address in its parts. Where it is none the error says nothing of it, as urllib's does."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError(
            "it must be an address whose port is a number, with the signs of a password in per cent form"
        ) from None
    return parts


def _check_numbers(known: Mapping[str, Any]) -> None:
    """Raises ValueError for numbers that libpq would refuse at every connection."""
    ports = str(known.get("port") or "").split(",")
    for port in ports:
        if port.strip() and not (_NUMBER.fullmatch(port) and 1 <= int(port) <= 65535):
            raise ValueError("a port must be a number from 1 to 65535")
    hosts = str(known.get("hostaddr") or known.get("host") or "").split(",")
    if len(ports) not in (1, len(hosts)) and "service" not in known:
        raise ValueError("it must have one port, or one for each host")
    for name in _NUMBERS:
        if known.get(name) and not _NUMBER.fullmatch(str(known[name])):
            raise ValueError(f"its {name} must be a number")
