"""Signing in while the password is changed: whoever knew the old one is out (docs/security.md)."""

import threading
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from issuance.database.connections import transaction
from issuance.people import passwords, people, sessions

OLD, NEW = "correct horse battery", "a staple of another kind"


def test_a_password_that_is_changed_while_it_is_checked_leaves_no_session(
    engine: Engine, brand_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one is chosen just as somebody else signs in by the old one: their session is one of those that end."""
    email, verify = f"{uuid4()}@example.com", passwords._hasher.verify
    with transaction(engine, brand_id) as connection:
        person_id = people.add(connection, brand_id, email, "viewer")
        passwords.choose(connection, person_id, passwords.prepare(OLD, email))
    prepared = passwords.prepare(NEW, email)

    def choose() -> None:
        with transaction(engine) as connection:
            passwords.choose(connection, person_id, prepared)

    choosing = threading.Thread(target=choose)

    class Chosen:
        """A new password is chosen in the midst of the check."""

        def verify(self, *said: str) -> bool:
            choosing.start()
            choosing.join(1)  # it ends, or waits
            return verify(*said)

    with monkeypatch.context() as patch, transaction(engine) as connection:
        patch.setattr(passwords, "_hasher", Chosen())
        assert passwords.person_with(connection, email, OLD) == person_id
        token = sessions.begin(connection, person_id)
    choosing.join()
    with transaction(engine) as connection:
        assert sessions.find(connection, token) is None
        assert passwords.person_with(connection, email, OLD) is None
        assert passwords.person_with(connection, email, NEW) == person_id
