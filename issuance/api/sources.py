"""Sources: how many connections each address has open, and how much of its answers it has not taken."""

from collections import Counter
from ipaddress import ip_address, ip_network
from mmap import mmap

from issuance.tenancy.rates import source_of

#: Bytes of answers that wait in a process until they are taken, of all and of one source: a few of the longest.
MOST_UNTAKEN, MOST_UNTAKEN_A_SOURCE = 64 * 1024 * 1024, 32 * 1024 * 1024


class Counts:
    """Connections by source, of all web processes on a port: a row of each, which it alone writes, in memory that they
    share. Two sources may by chance be counted as one."""

    _PLACES = 1 << 16

    def __init__(self, processes: int = 1) -> None:
        self._all = memoryview(mmap(-1, 2 * processes * self._PLACES)).cast("H")

    def clear(self, process: int) -> None:
        """A process begins: nothing is open there."""
        self._all[process * self._PLACES : (process + 1) * self._PLACES] = memoryview(bytes(2 * self._PLACES)).cast("H")

    def add(self, process: int, source: str, number: int) -> int:
        """Count `number` more of a source in a process; how many it has in all of them."""
        place = hash(source) % self._PLACES
        self._all[process * self._PLACES + place] += number
        return sum(self._all[place :: self._PLACES])


class Sources:
    """How many connections each source has open. Trusted proxies, which speak for many, are not counted."""

    def __init__(self, most: int, proxies: list[str], counts: Counts, process: int) -> None:
        self.most = most
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._counts, self._process = counts, process
        counts.clear(process)

    def enter(self, host: str | None) -> str | None:
        """Count one more connection; the name that it is counted under, "" if it is not. None: there are too many."""
        source = source_of(host)
        if source is None or any(ip_address(host or "") in proxy for proxy in self._proxies):
            return ""
        if self._counts.add(self._process, source, 1) > self.most:
            self.leave(source)
            return None
        return source

    def leave(self, source: str) -> None:
        """Count one less."""
        self._counts.add(self._process, source, -1)


class Untaken:
    """Bytes of answers that were not taken yet, by source: somebody who asks and does not read would fill the
    memory."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def add(self, source: str, size: int) -> bool:
        """Count so many more, or less; whether there is room for them. Trusted proxies ("") have all of it."""
        self._of[source] += size
        if not self._of[source]:
            del self._of[source]
        return self._of.total() <= MOST_UNTAKEN and (not source or self._of[source] <= MOST_UNTAKEN_A_SOURCE)
