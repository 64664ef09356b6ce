"""The contract of an adapter: verify → parse → facts, and how it asks its biller (docs/write-an-adapter.md).

An adapter is code about one kind of biller. It opens no connection to the database and keeps nothing itself: `Known`
holds what it has to remember, and a `Translation` takes what it has found out. A delivery that is translated again,
whatever was translated in between, must give the same events with the same ids: make ids of immutable parts only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.errors import IssuanceError

#: A biller's JSON object, as the biller gives it.
Json = Mapping[str, Any]


class BadSignature(IssuanceError):
    """The signature of this webhook is not good: it is not the biller's, it was changed, or it is too old."""

    code = "bad_signature"
    status = 400


class NotReadable(Exception):
    """An adapter can not read a well signed webhook, or a part of it: the message says why. The webhook is kept and
    shown."""

    code = "not_an_event"


class CanNotBeAsked(Exception):
    """The biller does not answer now, or not as it should: try again later."""


class DoesNotSay(CanNotBeAsked):
    """The biller answers, but not this: its key may not read it. Other things can be asked."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A webhook that was read. `delivery_id` is the biller's own id of it, and `at` the time that it states; `rank`
    orders notices of one instant by life cycle. `needs` are the ids of the objects that its translation looks up."""

    delivery_id: str
    kind: str
    at: datetime
    rank: int
    live: bool | None
    body: Json
    needs: frozenset[str] = frozenset()


class Price(NamedTuple):
    """What a price is sold as; None: it is no membership's price. `switch`: a change to it switches the running
    period."""

    membership_type_id: UUID | None
    switch: bool


class Wait(NamedTuple):
    """What a delivery waits for: an object, by its id (`key`). `ask`: the biller should be asked for it."""

    key: str
    message: str
    ask: bool = False


class Unmappable(NamedTuple):
    """Why a delivery, or a part of it, can not be translated: `key` is a price that nobody mapped, where that is
    why."""

    code: str
    message: str
    key: str | None = None


@dataclass(slots=True)
class Translation:
    """What one delivery comes to."""

    #: CloudEvents of INTERFACE 6, in the order in which they happened.
    events: list[dict[str, Any]] = field(default_factory=list)
    wait: Wait | None = None
    unmappable: Unmappable | None = None
    #: Objects that are known from now on: deliveries that wait for them are translated again.
    wakes: set[str] = field(default_factory=set)
    #: What the biller calls the memberships that sign up, by membership.
    refs: dict[UUID, str] = field(default_factory=dict)


class Known(Protocol):
    """What is known when a delivery is translated."""

    @property
    def zone(self) -> ZoneInfo:
        """The brand's time zone."""

    @property
    def now(self) -> datetime:
        """The brand's now."""

    @property
    def can_ask(self) -> bool:
        """Whether the biller can be asked (an API key was given)."""

    def get(self, object_id: str) -> dict[str, Any]:
        """What an adapter has noted of an object, to be read and changed in place; empty if it has noted nothing."""

    def price(self, *names: str | None) -> Price | None:
        """What a price is mapped to, by the first of its names that is in the map; None: none of them is."""


class Asked(Protocol):
    """The way to a biller's API: a context manager."""

    def __enter__(self) -> "Asked": ...

    def __exit__(self, kind: Any, error: Any, traceback: Any, /) -> None: ...

    def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> Json | None:
        """The answer; None where there is no such thing. Raises CanNotBeAsked."""

    def pages(self, path: str, parameters: Mapping[str, str | int], after: str | None = None) -> Iterator[list[Json]]:
        """The pages of a list, after an object that was read before. Raises CanNotBeAsked."""


class Listing(NamedTuple):
    """One list of a biller's objects, and how to ask for it."""

    name: str
    path: str
    parameters: Mapping[str, str | int]
    #: It is read only if the lists before it signed anybody up.
    after_sign_ups: bool = False


class Adapter(Protocol):
    """What every adapter gives."""

    #: The word for this kind: the `kind` of its billers, and a part of their webhooks' address.
    kind: str
    #: The `source` of its events.
    source: str
    #: Raise it with each change that may help deliveries which could not be translated: they are tried again.
    version: int

    def verify(self, body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes], now: datetime) -> None:
        """See that the biller signed this with one of the secrets. `now`: real time, by PostgreSQL's clock. Raises
        BadSignature."""

    def parse(self, body: bytes) -> Notice:
        """Read as much of a webhook as is needed to keep it. Raises NotReadable."""

    def translate(self, notice: Notice, known: Known, *, patient: bool) -> Translation:
        """The events that a webhook tells. `patient` is false when what should have come before has been missing for
        long. Raises NotReadable; then all notes are discarded."""


@runtime_checkable
class Askable(Adapter, Protocol):
    """What the adapter of a biller with an API gives too."""

    def api(self, key: str) -> Asked:
        """The way to its API with this key."""

    def ask(self, asked: Asked, key: str) -> Json:
        """What the biller says of an object that a delivery waits for, or of one of a listing, as the listing has it;
        empty: there is no such object, or it is not asked for by itself. Raises CanNotBeAsked, and DoesNotSay if the
        biller answers other questions."""

    def learn(self, key: str, answer: Json, known: Known) -> Translation:
        """Note what the biller said, and tell what comes of it. Raises NotReadable."""

    def missed(self, since: datetime | None) -> Sequence[Listing]:
        """The lists of sent webhooks, if the biller keeps them for a while: webhooks know when things happened."""

    def listings(self, since: datetime | None) -> Sequence[Listing]:
        """The lists that reconciling reads, in this order. None: from the beginning."""

    def reconcile(self, listing: str, body: Json, known: Known, since: datetime | None) -> Translation:
        """The events that an object of a listing tells as it is now and that were not told yet. Raises NotReadable."""

    def is_live(self, body: Json) -> bool | None:
        """Whether an object of its API is of live mode; None: it does not say."""

    def needs(self, about: Json) -> frozenset[str]:
        """The ids of the objects that translating or reconciling this one looks up."""


def weight_of(said: Any, most: int) -> int:
    """How much a JSON value holds: one for each value in it and for each character of its texts and names. Counting
    stops beyond `most`."""
    weight, left = 0, [said]
    while left and weight <= most:
        one = left.pop()
        weight += 1
        if isinstance(one, str):
            weight += len(one)
        elif isinstance(one, dict):
            weight += sum(map(len, one))
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return weight
