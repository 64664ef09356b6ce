"""The adapter of a mapped biller: its webhooks are plain JSON, and each says by itself what it is about.

It remembers nothing and asks nobody, so it can tell only what a webhook says. A biller whose notices say only that
something changed needs an adapter of its own.
"""

from collections.abc import Mapping as Headers
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from issuance.billers.adapter import Json, Known, Notice, NotReadable, Translation, Unmappable, weight_of
from issuance.billers.mapped import signatures
from issuance.billers.mapped.mapping import BillerMapping, MappedFact, first
from issuance.billers.mapped.values import LONGEST_NAME, instant, said, text_of, value_at
from issuance.billing.cloud_events import Refused, read_json

_NAMESPACE = uuid5(NAMESPACE_URL, "https://issuance/mapped")
#: The most that a webhook's values times the paths that search may be: each such path looks at all values.
MOST_VALUES = 10_000
#: Characters and values of one fact: 500 guests have room.
MOST_SAID = 100_000
_LONGEST_EVENT_ID = 255
_TYPED = ("membership.signed_up", "membership.type_changed")


class Mapped:
    """The adapter that a mapping makes."""

    kind = "mapped"
    version = 1

    def __init__(self, mapping: BillerMapping) -> None:
        self._mapping = mapping
        self._most = MOST_VALUES // max(1, mapping.searches)
        self.source = mapping.source

    def verify(self, body: bytes, headers: Headers[str, str], secrets: Sequence[bytes], now: datetime) -> None:  # noqa: ARG002
        """See that the biller signed this. Raises BadSignature."""
        signatures.verify(self._mapping.signature, body, headers, secrets)

    def parse(self, body: bytes) -> Notice:
        """Read a webhook. Raises NotReadable."""
        try:
            read = read_json(body)
        except Refused as refusal:
            raise NotReadable(refusal.message) from None
        if _has_more(read, self._most):
            raise NotReadable(f"it has more than {self._most} values")
        parts = _parts(self._mapping.id, read)
        delivery_id = "/".join(parts)
        if not isinstance(read, dict) or not 0 < len(delivery_id) <= 150:
            raise NotReadable(f"it has no id at {', '.join(self._mapping.id)}")
        at = instant(value_at(self._mapping.time, read))
        if at is None:
            raise NotReadable(f"it has no instant at {', '.join(self._mapping.time.paths)}")
        live = None if self._mapping.live is None else value_at(self._mapping.live, read)
        mapped = self._mapped(read)
        kind = mapped.tell if mapped is not None else ""
        # Sign-ups come first, then charges in the order of their life.
        return Notice(delivery_id, kind, at, _RANK.get(kind, 1), live if isinstance(live, bool) else None, read)

    def translate(self, notice: Notice, known: Known, *, patient: bool) -> Translation:  # noqa: ARG002 - it never waits
        """The fact that a webhook tells, if it tells one."""
        try:
            return self._told(notice, known)
        except NotReadable as refusal:
            return Translation(unmappable=Unmappable("malformed", str(refusal)))

    def _told(self, notice: Notice, known: Known) -> Translation:
        found = Translation()
        mapped = self._mapped(notice.body)
        if mapped is None:
            return found
        parts = [first(path, notice.body) for path in self._mapping.membership]
        if any(not isinstance(part, (str, int)) for part in parts):
            found.unmappable = Unmappable("no_membership", "it does not say which membership it is about")
            return found
        names = zip(self._mapping.membership, parts, strict=True)
        ref = "/".join(str(text_of(part, path, LONGEST_NAME)) for path, part in names)
        membership_id = membership_of(self.source, ref)
        data = self._data(mapped, notice.body, known, found)
        if found.unmappable is not None:
            return found
        own = "/".join(_parts(mapped.id, notice.body)) or notice.delivery_id
        event_id = f"{ref}/{mapped.tell}/{own}"
        # Never cut: two facts with one id would be one.
        if len(ref) > LONGEST_NAME or len(event_id) > _LONGEST_EVENT_ID:
            raise NotReadable(f"membership and id have more than {_LONGEST_EVENT_ID} characters together")
        found.events.append(
            {
                "specversion": "1.0",
                "id": event_id,
                "source": self.source,
                "type": mapped.tell,
                "time": notice.at.isoformat().replace("+00:00", "Z"),
                "data": {"membership_id": str(membership_id), **data},
            }
        )
        if mapped.tell == _TYPED[0]:
            found.refs[membership_id] = ref
        return found

    def _mapped(self, body: Json) -> MappedFact | None:
        return next((one for one in self._mapping.events if _matches(one.when, body)), None)

    def _data(self, mapped: MappedFact, body: Json, known: Known, found: Translation) -> dict[str, Any]:
        fields = ((name, said(name, value, body, known)) for name, value in mapped.data.items())
        data = {name: one for name, one in fields if one is not None}
        if weight_of(data, MOST_SAID) > MOST_SAID:
            raise NotReadable(f"it says more than {MOST_SAID} characters")
        if mapped.tell in _TYPED and "membership_type_id" not in data:
            path = self._mapping.price
            named = None if path is None else text_of(first(path, body), path, LONGEST_NAME)
            price = known.price(named)
            if price is None:
                found.unmappable = Unmappable("unmapped_price", f"nobody mapped the price {named}", named)
            elif price.membership_type_id is None:
                found.unmappable = Unmappable("passed_over", "its price is no membership's", named)
            else:
                data["membership_type_id"] = str(price.membership_type_id)
                if mapped.tell == _TYPED[1]:
                    data["current_period"] = "switch" if price.switch else "keep"
        return data


_RANK = {
    "membership.signed_up": 0,
    "charge.initiated": 2,
    "charge.failed": 3,
    "charge.skipped": 4,
    "charge.succeeded": 5,
    "charge.disputed": 6,
    "charge.refunded": 7,
}


def _has_more(read: Any, most: int) -> bool:
    left = [read]
    while left and most > 0:
        one = left.pop()
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        most -= len(inner)
        if most > 0:
            left.extend(inner)
    return most <= 0


def _parts(paths: Sequence[str], body: Any) -> list[str]:
    found = ((path, first(path, body)) for path in paths)
    return [str(text_of(part, path, LONGEST_NAME)) for path, part in found if isinstance(part, (str, int))]


def _matches(when: dict[str, Any], body: Json) -> bool:
    return all(first(path, body) in (wanted if isinstance(wanted, list) else [wanted]) for path, wanted in when.items())


def membership_of(source: str, ref: str) -> UUID:
    """The membership that something at a mapped biller is."""
    return uuid5(_NAMESPACE, f"{source} {ref}")
