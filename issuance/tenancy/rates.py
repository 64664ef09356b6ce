"""Rate limits: how much an address, a key or a brand may ask for in a minute, and how often it may be wrong; and how
many bytes a brand may have kept in a day.

All web processes count together, in the broker's server and by its clock. To ask it for each request would cost more
than the limits are worth, so a process takes a small part of what is left, and spends that. While the broker is away
nobody is refused. RabbitMQ does not count: with it each process counts by itself.
"""

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import Any, NamedTuple
from uuid import UUID

import redis

from issuance import brokers, limits
from issuance.errors import IssuanceError
from issuance.log import Outage
from issuance.settings import OwnSettings

#: The part of a limit that a process takes at a time.
_PARTS = 200
#: Whether requests are let through uncounted.
outage = Outage("rates", "not_counted", "counted")
#: How many names are remembered; when there is one more, all are forgotten, and each costs a look at the broker again.
_MOST_NAMES = 100_000


#: What is counted: by address, key, brand; by address, caller, address and biller, address; by address,
#: person, person.
OF_AN_ADDRESS, OF_A_KEY, OF_A_BRAND = "requests from this address", "requests with this key", "requests of this brand"
WRONG_KEYS, WRONG_CODES = "wrong keys from this address", "wrong codes"
WRONG_SIGNATURES, UNKNOWN_BILLERS = "wrong signatures of this biller", "unknown billers from this address"
METRICS = "looks at the metrics from this address"
SIGN_INS, FILES, OF_A_PERSON = "tries to sign in from this address", "files", "requests of this person"
#: What is counted in bytes, by brand and day: so that no key fills the disk before somebody can look.
FACTS, ANSWERS = "bytes of events and billers' webhooks", "bytes of answers kept for Idempotency-Keys"
_DAILY = frozenset({FACTS, ANSWERS})


# The window is chosen by the broker's clock: those of the processes' hosts may differ.
_COUNT = """
    local now = redis.call('TIME')
    local name = KEYS[1] .. ':' .. math.floor(now[1] / ARGV[2])
    local counted = redis.call('INCRBY', name, ARGV[1])
    redis.call('EXPIRE', name, 2 * ARGV[2])
    return {counted, now[1], now[2]}
"""


class RateLimited(IssuanceError):
    """Too many requests."""

    code = "rate_limited"
    status = 429

    def __init__(self, what: str, standing: "RateState") -> None:
        super().__init__(f"Too many {what}: at most {standing.most:,} a {'day' if what in _DAILY else 'minute'}.")
        self.standing = standing
        self.retry_after = standing.seconds


class RateState(NamedTuple):
    """How much of a limit is left, and in how many seconds it starts again."""

    most: int
    left: int
    seconds: int


class Known(NamedTuple):
    """The owner of a key or token that was good before."""

    brand_id: UUID
    #: The name by which a key's limits count.
    name: str
    is_key: bool


def source_of(host: str | None) -> str | None:
    """What counts as one source: an IPv4 address, or the /64 network of an IPv6 address, which one machine has as a
    whole.

    None if it is no address, such as a Unix socket.


    """
    try:
        address = ip_address(host or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((int(address), 64), strict=False))
    return str(address)


def came_from(client: tuple[str, int] | None) -> str:
    """The source of a request, by its client's address and port; `nowhere` is a source too."""
    return source_of(client[0] if client else None) or "nowhere"


class _Part:
    """The part of a name's limit that this process has in one window: what it may still spend, and what it knew
    last."""

    __slots__ = ("counted", "left")

    def __init__(self) -> None:
        self.left = 0
        self.counted = 0


class Rates:
    """The limits of this process. A limit of 0 is none."""

    def __init__(self, redis_url: str, settings: OwnSettings) -> None:
        self.most = {
            OF_AN_ADDRESS: settings.rate_an_address,
            OF_A_KEY: settings.rate_a_key,
            OF_A_BRAND: settings.rate_a_brand,
            OF_A_PERSON: settings.rate_a_key,
            WRONG_KEYS: settings.rate_wrong_keys,
            WRONG_CODES: settings.rate_wrong_codes,
            WRONG_SIGNATURES: settings.rate_wrong_keys,
            UNKNOWN_BILLERS: settings.rate_wrong_keys,
            METRICS: settings.rate_metrics,
            SIGN_INS: settings.rate_sign_ins,
            FILES: settings.rate_files,
            FACTS: settings.bytes_a_brand,
            ANSWERS: settings.bytes_a_brand,
        }
        self._client: redis.Redis | None = None
        if not brokers.is_rabbitmq(redis_url):
            patience = limits.current.callers.patience
            self._client = brokers.client_of(
                redis_url, socket_timeout=patience, socket_connect_timeout=patience, retry=None
            )
        self._lock = Lock()
        #: The running window of each length, by its length in seconds: its number, and the parts by name.
        self._windows: dict[int, tuple[int, dict[tuple[str, str], _Part]]] = {}
        self._left_alone_until = 0.0
        #: How many seconds the broker's clock is ahead of this process's monotonic one, by the broker's last answer.
        self._ahead = time.time() - time.monotonic()
        # Python's hashes of strings are keyed, and stay in the process.
        self._good: dict[int, Known] = {}

    def take(self, what: str, who: str, number: int = 1) -> RateState | None:
        """Count so many more, and return how the limit stands then. None if there is no limit, or if the broker is
        away.

        Raises RateLimited where fewer are left.

        """
        most = self.most[what]
        if not most:
            return None
        with self._part(what, who) as part:
            if part.left >= number:
                part.left -= number
                return self._standing(what, part)
            if part.counted >= most:
                raise RateLimited(what, self._standing(what, part))
        counted = self._count(what, who, more := max(number, most // _PARTS))
        if counted is None:
            return None
        with self._part(what, who) as part:
            part.counted = max(part.counted, counted)
            here = max(0, more - max(0, counted - most)) + part.left
            if here < number:
                raise RateLimited(what, self._standing(what, part))
            part.left = here - number
            return self._standing(what, part)

    def is_quick(self, what: str, who: str) -> bool:
        """Whether `take` needs no look at the broker."""
        if not self.most[what] or time.monotonic() < self._left_alone_until:
            return True
        with self._part(what, who) as part:
            return part.left > 0 or part.counted >= self.most[what]

    def wrong(self, what: str, who: str, times: int = 1) -> None:
        """Count that somebody was wrong. Raises RateLimited if that was once too often."""
        most = self.most[what]
        counted = self._count(what, who, times) if most and times else None
        if counted is not None:
            with self._part(what, who) as part:
                part.counted = max(part.counted, counted)
            self.check(what, who)

    def was_good(self, shown: Hashable, known: Known) -> None:
        """Remember a key or token that was good, so that a neighbour's wrong ones do not keep its owner out."""
        with self._lock:
            if len(self._good) > _MOST_NAMES:
                self._good = {}
            self._good[hash(shown)] = known

    def was_bad(self, shown: Hashable) -> None:
        """Forget a key or token that is no longer good: it counts as a stranger's."""
        with self._lock:
            self._good.pop(hash(shown), None)

    def known(self, shown: Hashable) -> Known | None:
        """The owner of a key or token, if it was good when it was last looked up. It must still be looked up."""
        return self._good.get(hash(shown))

    def check_left(self, what: str, who: str) -> None:
        """Raises RateLimited if nothing is left of a limit, as far as this process knows."""
        most = self.most[what]
        with self._part(what, who) as part:
            if most and part.left <= 0 and part.counted >= most:
                raise RateLimited(what, self._standing(what, part))

    def check(self, what: str, who: str) -> None:
        """Raises RateLimited if somebody has been wrong too often, as far as this process knows."""
        most = self.most[what]
        with self._part(what, who) as part:
            if most and part.counted > most:
                raise RateLimited(what, self._standing(what, part))

    @contextmanager
    def _part(self, what: str, who: str) -> Iterator[_Part]:
        seconds = _window(what)
        window = int(self._now()) // seconds
        with self._lock:
            running, parts = self._windows.get(seconds, (None, {}))
            if window != running or len(parts) > _MOST_NAMES:
                self._windows[seconds] = window, parts = window, {}
            yield parts.setdefault((what, who), _Part())

    def _standing(self, what: str, part: _Part) -> RateState:
        most, window = self.most[what], _window(what)
        seconds = window - int(self._now()) % window
        return RateState(most, max(0, most - part.counted) + part.left, seconds)

    def _now(self) -> float:
        return time.monotonic() + self._ahead

    def _count(self, what: str, who: str, number: int) -> int | None:
        """Count with all processes, and return what they have counted together. None if the broker is away."""
        if self._client is None:
            with self._part(what, who) as part:
                part.counted += number
                return part.counted
        if time.monotonic() < self._left_alone_until:
            return None
        try:
            answer: Any = self._client.eval(_COUNT, 1, f"issuance:rate:{what}:{who}", number, _window(what))
        except redis.RedisError as error:
            self._left_alone_until = time.monotonic() + limits.current.callers.left_alone
            outage.lasts(error)
            return None
        outage.is_over()
        counted, seconds, microseconds = map(int, answer)
        self._ahead = seconds + microseconds / 1e6 - time.monotonic()
        return counted


def _window(what: str) -> int:
    """The seconds within which something is counted."""
    return limits.current.callers.day if what in _DAILY else limits.current.callers.window
