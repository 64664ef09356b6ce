"""Secrets at rest: with a sealing key a dump of the database reveals none of them, and all work as before."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from campaigns.receiver import Receiver
from issuance.billers import billers
from issuance.billers.billers import New
from issuance.database.connections import engine_for, transaction
from issuance.errors import SettingsError
from issuance.members import members
from issuance.members.profiles import MemberProfile
from issuance.tenancy import brands, keys, sealing, tokens
from issuance.webhooks import webhooks
from tests.hooks import Hook

#: What a secret begins with that is stored encrypted.
ENCRYPTED = b"sealed:1:"
_FORGET = text("DELETE FROM webhooks WHERE substr(signing_secret, 1, length(:encrypted)) = :encrypted")
KEY, OTHER_KEY = "k" * 40, "o" * 40


@pytest.fixture(autouse=True)
def nothing_encrypted_stays(engine: Engine) -> Iterator[None]:
    """Beside it other tests, which have no key, could keep no secret."""
    yield
    with transaction(engine) as connection:
        connection.execute(
            text("DELETE FROM webhooks WHERE starts_with(encode(signing_secret, 'escape'), 'sealed:1:')")
        )


def kept(connection: Connection, statement: str) -> list[bytes]:
    return [bytes(one) for one in connection.scalars(text(statement)) if one is not None]


def test_a_webhooks_secret_is_sealed_and_signs(hook: Hook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made before there was a key it signs on; rotated it is encrypted, and so is the one after. Both sign."""
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", KEY)
    hook.tell()
    hook.deliver()
    assert len(receiver.verified(hook.secret)) == 1
    with transaction(hook.engine, hook.brand_id) as connection:
        fresh = webhooks.rotate(connection, hook.brand_id, hook.webhook_id)["signing_secret"]
        (sealed,) = kept(connection, "SELECT signing_secret FROM webhooks")
        assert webhooks.secret_of(connection, hook.webhook_id) == fresh
    assert sealed.startswith(ENCRYPTED)
    receiver.received.clear()
    hook.tell()
    hook.deliver()
    assert receiver.verified(hook.secret) == receiver.verified(fresh)


def test_the_secret_of_tokens_is_sealed(
    connection: Connection, brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of before goes on, one of after is good; without the key, or with another, nothing opens."""
    key_id, _ = keys.create(connection, brand_id, ["tokens"])
    members.upsert(connection, brand_id, "ada", MemberProfile.model_validate({}))
    member_id = members.id_of(connection, brand_id, "ada")
    before = tokens.mint(connection, brand_id, member_id, key_id).access_token
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", KEY)
    tokens.rotate(connection)
    after = tokens.mint(connection, brand_id, member_id, key_id).access_token
    stored = kept(connection, "SELECT value FROM secrets WHERE name LIKE 'member tokens%'")
    assert all(one.startswith(ENCRYPTED) for one in stored)
    assert [tokens.find(connection, one) is not None for one in (before, after)] == [True, True]
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", f"{OTHER_KEY},{KEY}")
    assert tokens.find(connection, after) is not None
    for wrong in ("", OTHER_KEY):
        monkeypatch.setenv("ISSUANCE_SEALING_KEY", wrong)
        with pytest.raises(SettingsError):
            tokens.find(connection, after)


@pytest.fixture
def alone(fresh_database: Callable[[], str]) -> Iterator[tuple[Connection, UUID]]:
    """A transaction in a database that has no secret, and a brand."""
    engine = engine_for(fresh_database())
    with transaction(engine) as connection:
        brand_id, _ = brands.create(connection, name="club", timezone="UTC", sandbox=True)
    with transaction(engine, brand_id) as connection:
        yield connection, brand_id


def test_beside_secrets_that_are_encrypted_none_is_kept_without_the_key(
    alone: tuple[Connection, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that was not given the processes' key is told so, whatever it would keep."""
    connection, brand_id = alone
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", KEY)
    webhooks.create(connection, brand_id, "https://example.com/", ["credit.issued"])
    monkeypatch.delenv("ISSUANCE_SEALING_KEY")
    with pytest.raises(SettingsError, match="not set"):
        billers.create(connection, brand_id, New("stripe", ["whsec_of_a_biller"]))
    with pytest.raises(SettingsError, match="not set"):
        tokens.sign(connection, {})
    assert sealing.kept(connection) == (1, 0)


def test_a_secret_that_is_given_again_is_encrypted(
    alone: tuple[Connection, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was given before there was a key. Nothing has changed, so the audit has no entry of it."""
    connection, brand_id = alone
    biller_id = billers.create(connection, brand_id, New("stripe", ["whsec_of_a_biller"], "rk_of_it"))
    assert sealing.kept(connection) == (0, 2)
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", KEY)
    billers.replace_secrets(connection, brand_id, biller_id, ["whsec_of_a_biller"])
    assert sealing.kept(connection) == (1, 1)
    assert billers.get(connection, brand_id, biller_id).secrets == [b"whsec_of_a_biller"]
    assert "biller.updated" not in connection.scalars(text("SELECT action FROM audit_entries")).all()
