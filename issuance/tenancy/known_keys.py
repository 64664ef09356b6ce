"""Keys that were good a moment ago: for less than a second PostgreSQL is not asked again (decision 44).

A key that is revoked is refused within a second by every process, and at once by the one that revoked it."""

from threading import Lock
from time import monotonic
from uuid import UUID

from sqlalchemy import Engine

from issuance import limits
from issuance.database import look
from issuance.tenancy import keys
from issuance.tenancy.keys import Key

#: How many keys are remembered; when there is one more, all are forgotten, and each costs a look again.
_MOST = 10_000

_lock = Lock()
_known: dict[bytes, tuple[Key, float]] = {}
#: When keys were revoked here: an answer that was asked for before that may not know of it.
_doubted: dict[UUID, float] = {}


def recall(shown: str) -> Key | None:
    """The key that was shown, if it was good a moment ago."""
    known = _known.get(keys.hash_of(shown))
    return known[0] if known is not None and monotonic() < known[1] else None


def find(looks: Engine, shown: str) -> Key | None:
    """The key that was shown, if it is valid. PostgreSQL is asked, and its answer is remembered."""
    asked = monotonic()
    with look(looks) as connection:
        key = keys.find(connection, shown)
    if key is not None:
        believed = limits.current.callers.believed
        until = asked + (believed if key.seconds_left is None else min(believed, key.seconds_left))
        with _lock:
            if len(_known) >= _MOST:
                _known.clear()
            if _doubted.get(key.key_id, 0.0) <= asked:
                _known[keys.hash_of(shown)] = key, until
    return key


def forget(key_id: UUID) -> None:
    """Forget a key that has just been revoked."""
    now = monotonic()
    with _lock:
        begin = now - limits.current.callers.believed
        for old in [one for one, since in _doubted.items() if since < begin]:
            del _doubted[old]
        _doubted[key_id] = now
        for shown in [shown for shown, (key, _) in _known.items() if key.key_id == key_id]:
            del _known[shown]
