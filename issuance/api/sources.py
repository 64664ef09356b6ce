"""Sources: how many connections each address has open, and how much of its answers it has not taken."""

from collections import Counter
from ipaddress import ip_address, ip_network
from mmap import mmap

from issuance.tenancy.rates import source_of

#: The most bytes of answers that wait in a process until clients take them, of all sources and of one: a few of the
#: longest.
MOST_UNTAKEN, MOST_UNTAKEN_A_SOURCE = 64 * 1024 * 1024, 32 * 1024 * 1024


class Counts:
    """Connections by source, of all web processes on a port. The processes share the memory; each has a row that it
    alone writes. Two sources may by chance count as one."""

    _PLACES = 1 << 16

    def __init__(self, processes: int = 1) -> None:
        self._all = memoryview(mmap(-1, 2 * processes * self._PLACES)).cast("H")

    def clear(self, process: int) -> None:
        """A process begins: it has nothing open."""
        self._all[process * self._PLACES : (process + 1) * self._PLACES] = memoryview(bytes(2 * self._PLACES)).cast("H")

    def add(self, process: int, source: str, number: int) -> int:
        """Count `number` more of a source in a process, and return how many it has in all processes."""
        place = hash(source) % self._PLACES
        self._all[process * self._PLACES + place] += number
        return sum(self._all[place :: self._PLACES])


class Sources:
    """How many connections each source has open. Trusted proxies are not counted, because they speak for many."""

    def __init__(self, most: int, proxies: list[str], counts: Counts, process: int) -> None:
        self.most = most
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._counts, self._process = counts, process
        counts.clear(process)

    def enter(self, host: str | None) -> str | None:
        """Count one more connection, and return the name under which it counts, "" if it is not counted. None: there
        are too many."""
        source = source_of(host)
        if source is None or any(ip_address(host or "") in proxy for proxy in self._proxies):
            return ""
        if self._counts.add(self._process, source, 1) > self.most:
            self.leave(source)
            return None
        return source

    def leave(self, source: str) -> None:
        """Count one connection less."""
        self._counts.add(self._process, source, -1)


class Untaken:
    """Bytes of answers that clients have not taken yet, by source: a client that asks and does not read would fill the
    memory."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def add(self, source: str, size: int) -> bool:
        """Count so many bytes more, or less, and return whether there is room for them. Trusted proxies ("") have all
        of the room."""
        self._of[source] += size
        if not self._of[source]:
            del self._of[source]
        return self._of.total() <= MOST_UNTAKEN and (not source or self._of[source] <= MOST_UNTAKEN_A_SOURCE)
