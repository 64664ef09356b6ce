"""Sources: how many connections each address has open, and how much of its answers it has not taken."""

from collections import Counter
from collections.abc import Hashable
from ipaddress import ip_address, ip_network
from mmap import mmap

from issuance import limits
from issuance.tenancy.rates import source_of


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
    """Bytes of answers that clients have not taken yet, by source and connection: a client that asks and does not read
    would fill the memory. Trusted proxies ("") speak for many: each of their connections counts as a source."""

    def __init__(self) -> None:
        self._of: dict[Hashable, Counter[Hashable]] = {}

    def note(self, source: str, connection: Hashable, size: int) -> Hashable | None:
        """Note that a connection has not taken so many bytes, and return the connection that has to go for it and
        counts no more, or None if there is room. It is this one if its own source has too much, else the largest of the
        source with most: then note it again, as there may still be no room. For what was taken nobody has to go."""
        whose, goes = source or connection, connection
        self._set(whose, connection, size)
        if not size:
            return None
        totals = {one: sizes.total() for one, sizes in self._of.items()}
        bounds = limits.current.doors
        if not source or totals.get(source, 0) <= bounds.untaken_of_a_source:
            if sum(totals.values()) <= bounds.untaken:
                return None
            whose = max(totals, key=totals.__getitem__)
            ((goes, _),) = self._of[whose].most_common(1)
        self._set(whose, goes, 0)
        return goes

    def _set(self, whose: Hashable, connection: Hashable, size: int) -> None:
        sizes = self._of.setdefault(whose, Counter())
        sizes[connection] = size
        if not size:
            del sizes[connection]
        if not sizes:
            del self._of[whose]
