"""Secrets at rest: with a sealing key a dump of the database reveals none of them, and all work as before."""

from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from campaigns.receiver import Receiver
from issuance.database.connections import transaction
from issuance.errors import SettingsError
from issuance.members import members
from issuance.members.profiles import MemberProfile
from issuance.tenancy import keys, tokens
from issuance.webhooks import webhooks
from tests.hooks import Hook

#: What a secret begins with that is stored encrypted.
ENCRYPTED = b"sealed:1:"
KEY, OTHER_KEY = "k" * 40, "o" * 40


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
