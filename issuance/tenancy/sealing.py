"""Secrets at rest: what signs billers' webhooks, our webhooks and tokens is kept sealed: encrypted, if a key is given.

The key is `ISSUANCE_SEALING_KEY`, or the lines of `ISSUANCE_SEALING_KEY_FILE`: any text of 32 characters or more. There
may be several keys: the first one seals, and each of them opens, so to rotate a key, put a new one before it. Without a
key a secret is kept as it is, and a dump of the database reveals it. Secrets that were kept before there was a key open
all the same; once there is one, nothing is kept without it.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, text

from issuance.errors import SettingsError
from issuance.settings import OwnSettings, read

if TYPE_CHECKING:  # it is imported where a key is given: most commands open no secret
    from cryptography.fernet import Fernet, MultiFernet

_SHORTEST_KEY = 32
#: What a sealed secret begins with, encrypted or not. A secret that was stored before there was sealing has neither.
_ENCRYPTED, _PLAIN = b"sealed:1:", b"sealed:0:"
# The keys of erased people's hashes are not among them: they can not be rotated.
_KEPT = text("""
    WITH kept AS (
        SELECT value AS secret FROM secrets WHERE name NOT LIKE 'forgetting %'
         UNION ALL SELECT unnest(secrets || api_key) FROM billers
         UNION ALL SELECT signing_secret FROM webhooks
         UNION ALL SELECT former_secret FROM webhooks WHERE former_until > clock_timestamp())
    SELECT count(*) FILTER (WHERE substr(secret, 1, length(:encrypted)) = :encrypted) AS encrypted,
           count(*) FILTER (WHERE substr(secret, 1, length(:encrypted)) <> :encrypted) AS plain
      FROM kept
""")


class Kept(NamedTuple):
    """How many secrets are encrypted, and how many stand in the database as they are."""

    encrypted: int
    plain: int


def seal(connection: Connection, secret: bytes) -> bytes:
    """A secret as it is stored. Raises SettingsError if the given key can not be used, and if none is given though
    other secrets that this transaction sees are encrypted."""
    box = _box()
    if box is not None:
        return _ENCRYPTED + box.encrypt(secret)
    if kept(connection).encrypted:
        raise SettingsError("ISSUANCE_SEALING_KEY is not set, and other secrets in the database are encrypted with it")
    return _PLAIN + secret


def kept(connection: Connection) -> Kept:
    """The secrets that this transaction sees and that can be rotated, counted."""
    row = connection.execute(_KEPT, {"encrypted": _ENCRYPTED}).one()
    return Kept(row.encrypted, row.plain)


def unseal(stored: bytes) -> bytes:
    """The secret that was stored. Raises SettingsError if no given key opens it."""
    if stored.startswith(_ENCRYPTED):
        box = _box()
        if box is None:
            raise SettingsError("ISSUANCE_SEALING_KEY is not set, and secrets in the database are encrypted with it")
        from cryptography.fernet import InvalidToken

        try:
            return box.decrypt(stored.removeprefix(_ENCRYPTED))
        except InvalidToken:
            raise SettingsError(
                "ISSUANCE_SEALING_KEY is not the key that secrets in the database are encrypted with"
            ) from None
    return stored.removeprefix(_PLAIN)


def _box() -> "MultiFernet | None":
    own = read(OwnSettings)
    given = own.sealing_key.get_secret_value() if own.sealing_key is not None else None
    return _made(given, own.sealing_key_file)


@lru_cache(maxsize=8)
def _made(given: str | None, file: Path | None) -> "MultiFernet | None":
    keys = [key.strip() for key in (given or "").split(",") if key.strip()]
    if file is not None:
        keys += _lines(file)
    if not keys:
        return None
    from cryptography.fernet import MultiFernet

    return MultiFernet([_fernet(key) for key in keys])


def _lines(file: Path) -> Sequence[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"ISSUANCE_SEALING_KEY_FILE can not be read: {type(error).__name__}") from None


def _fernet(key: str) -> "Fernet":
    from cryptography.fernet import Fernet

    if len(key) < _SHORTEST_KEY:
        raise SettingsError(f"ISSUANCE_SEALING_KEY is too short: {_SHORTEST_KEY} characters at least")
    # A digest, so that any text will do. A key is long and random, so it need not be a slow one.
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
