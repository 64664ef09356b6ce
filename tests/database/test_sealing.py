"""Secrets at rest: encrypted where a key is given, and opened by every key that is."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from issuance.errors import SettingsError
from issuance.settings import OwnSettings, read
from issuance.tenancy import sealing

OLD, NEW = "an old key that is long enough: 0123456789", "a new key that is long enough: 0123456789"
#: What a secret begins with that is stored encrypted.
ENCRYPTED = b"sealed:1:"
SECRET = b"whsec_of_a_biller"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISSUANCE_SEALING_KEY", raising=False)
    monkeypatch.delenv("ISSUANCE_SEALING_KEY_FILE", raising=False)


def test_with_a_key_what_is_stored_does_not_show_the_secret(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it opens with the key alone."""
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", OLD)
    stored = sealing.seal(connection, SECRET)
    assert SECRET not in stored
    assert stored.startswith(ENCRYPTED)
    assert sealing.unseal(stored) == SECRET
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", NEW)
    with pytest.raises(SettingsError, match="not the key"):
        sealing.unseal(stored)
    monkeypatch.delenv("ISSUANCE_SEALING_KEY")
    with pytest.raises(SettingsError, match="not set"):
        sealing.unseal(stored)


def test_a_key_is_rotated_by_a_new_one_before_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Old secrets open, new ones are sealed with the first key; a file has a key a line."""
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", OLD)
    stored = sealing.seal(connection, SECRET)
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n{OLD}\n")
    monkeypatch.delenv("ISSUANCE_SEALING_KEY")
    monkeypatch.setenv("ISSUANCE_SEALING_KEY_FILE", str(file))
    assert sealing.unseal(stored) == SECRET
    fresh = sealing.seal(connection, SECRET)
    monkeypatch.delenv("ISSUANCE_SEALING_KEY_FILE")
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", NEW)
    assert sealing.unseal(fresh) == SECRET


def test_what_was_kept_without_a_key_opens_later(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed without a key, or stored before there was sealing."""
    stored = sealing.seal(connection, SECRET)
    assert not stored.startswith(ENCRYPTED)
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", NEW)
    assert sealing.unseal(stored) == SECRET
    assert sealing.unseal(SECRET) == SECRET


@pytest.mark.parametrize("key", ["a-key-of-too-few", "x" * 31])
def test_a_key_that_can_not_be_used_is_one_clear_line_without_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", key)
    with pytest.raises(SettingsError, match="too short") as wrong:
        sealing.seal(connection, SECRET)
    assert key not in str(wrong.value)
    assert key not in repr(read(OwnSettings))


def test_a_file_that_is_not_there_is_one_clear_line(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ISSUANCE_SEALING_KEY_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="can not be read"):
        sealing.seal(connection, SECRET)
