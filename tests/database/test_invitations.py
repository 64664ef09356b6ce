"""Who an admin of a brand can let in: nobody who can do something in a brand that is not theirs."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from issuance.database.connections import looks_for, transaction
from issuance.people import people, sessions, sign_ins
from issuance.people.invitations import RoleElsewhere, invite
from issuance.people.passwords import choose, person_with
from issuance.people.sign_ins import LinkIsOver
from tests.limits import Limit

PASSWORD = "correct horse battery"


@pytest.fixture
def email() -> str:
    return f"{uuid4()}@example.com"


def admin_of(engine: Engine, *brand_ids: UUID) -> UUID:
    """Somebody who is an admin of brands."""
    address = f"{uuid4()}@example.com"
    for brand_id in brand_ids:
        with transaction(engine, brand_id) as connection:
            person_id = people.add(connection, brand_id, address, "admin")
    return person_id


def invited(engine: Engine, brand_id: UUID, by: UUID, email: str, role: str = "viewer") -> str:
    looks = looks_for(engine.url.render_as_string(hide_password=False))
    with transaction(engine, brand_id) as connection:
        return invite(connection, looks, brand_id, by, email, role)


def test_whoever_has_a_role_elsewhere_is_not_invited(
    engine: Engine, brand_id: UUID, other_brand_id: UUID, email: str
) -> None:
    """A link to them would open the other brand too. Nothing is changed; the operator can still add them."""
    invited(engine, other_brand_id, admin_of(engine, other_brand_id), email)
    with pytest.raises(RoleElsewhere, match="issuance people add"):
        invited(engine, brand_id, admin_of(engine, brand_id), email, "admin")
    with transaction(engine, brand_id) as connection:
        assert email not in [row["email"] for row in people.all_of(connection, brand_id)]
        people.add(connection, brand_id, email, "viewer")


def test_an_admin_of_both_brands_invites_into_both(
    engine: Engine, brand_id: UUID, other_brand_id: UUID, email: str
) -> None:
    by = admin_of(engine, brand_id, other_brand_id)
    for brand in (brand_id, other_brand_id):
        token = invited(engine, brand, by, email)
    with transaction(engine) as connection:
        found = sessions.find(connection, sessions.begin(connection, sign_ins.take_link(connection, token)))
    assert found is not None
    assert {place.brand_id for place in found.places} == {brand_id, other_brand_id}


def test_a_password_from_before_is_gone_with_the_last_role(
    engine: Engine, brand_id: UUID, other_brand_id: UUID, email: str
) -> None:
    """Whoever invited them there may have chosen it: nobody is waited for in another brand."""
    first = invited(engine, other_brand_id, admin_of(engine, other_brand_id), email)
    second = invited(engine, other_brand_id, admin_of(engine, other_brand_id), email)
    with transaction(engine, other_brand_id) as connection:
        person_id = sign_ins.take_link(connection, first)
        choose(connection, person_id, PASSWORD)
        session = sessions.begin(connection, person_id)
        people.remove(connection, other_brand_id, person_id)
    invited(engine, brand_id, admin_of(engine, brand_id), email)
    with transaction(engine) as connection:
        assert person_with(connection, email, PASSWORD) is None
        assert sessions.find(connection, session) is None
        with pytest.raises(LinkIsOver):
            sign_ins.take_link(connection, second)


def test_a_further_role_ends_the_links_of_before(
    engine: Engine, brand_id: UUID, other_brand_id: UUID, email: str
) -> None:
    """They were made when they opened less."""
    token = invited(engine, brand_id, admin_of(engine, brand_id), email)
    with transaction(engine, other_brand_id) as connection:
        people.add(connection, other_brand_id, email, "viewer")
        with pytest.raises(LinkIsOver):
            sign_ins.take_link(connection, token)


def test_a_link_to_whoever_has_the_role_is_in_the_audit(engine: Engine, brand_id: UUID, email: str) -> None:
    """With it its maker could act as somebody else: it is seen who made it."""
    by = admin_of(engine, brand_id)
    for _ in range(2):
        invited(engine, brand_id, by, email)
    with transaction(engine, brand_id) as connection:
        actions = connection.scalars(
            text("""SELECT action FROM audit_entries JOIN people p ON subject_id = p.person_id::text
                     WHERE email = :email ORDER BY entry_id"""),
            {"email": email},
        ).all()
    assert actions == ["person.added", "person.invited"]


def test_a_brand_has_so_many_people(engine: Engine, brand_id: UUID, limit: Limit) -> None:
    """Whoever has a role may get another one all the same."""
    by = admin_of(engine, brand_id)
    with transaction(engine, brand_id) as connection:
        limit("callers", people=len(people.all_of(connection, brand_id)) + 1)
    email = f"{uuid4().hex}@example.com"
    invited(engine, brand_id, by, email)
    with pytest.raises(people.TooManyPeople):
        invited(engine, brand_id, by, f"{uuid4().hex}@example.com")
    invited(engine, brand_id, by, email, "desk")
