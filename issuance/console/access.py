"""Keys and people: which programs may use the API, and who may use the console."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from issuance.console.lists import file_address, rows_as_file
from issuance.console.routes import Page
from issuance.console.visits import Admin, Visit
from issuance.people import invitations, people, sign_ins
from issuance.people.roles import MEANINGS
from issuance.tenancy import keys, known_keys

router = APIRouter(prefix="/console/{brand_id}", include_in_schema=False, route_class=Page)

_COLUMNS = {
    "people": ("id", "email", "role", "has_password", "created_at", "signed_in_at"),
    "keys": ("key_id", "name", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"),
}


@router.get("/access")
def access(visit: Admin, form: Annotated[str, Query(alias="as", pattern="^(|people|keys)$")] = "") -> Response:
    """Who has keys, and who has a role."""
    if form:
        with visit.transaction() as connection:
            rows = {"people": people, "keys": keys}[form].all_of(connection, visit.brand_id)
        return rows_as_file(visit, form, _COLUMNS[form], rows)
    return _shown(visit)


@router.post("/access/keys")
def create_key(visit: Admin) -> Response:
    """Make a key, which is shown this once."""
    scopes = [scope for scope in (visit.said("scopes") or "").split(",") if scope]
    with visit.transaction() as connection:
        _, key = keys.create(connection, visit.brand_id, scopes, visit.said("name"))
    return _shown(visit, new_key=key)


@router.post("/access/keys/{key_id}/rotate")
def rotate_key(visit: Admin, key_id: UUID) -> Response:
    """Make a key that takes another's place; both are good for a while."""
    with visit.transaction() as connection:
        _, key = keys.rotate(connection, visit.brand_id, key_id)
    return _shown(visit, new_key=key)


@router.post("/access/keys/{key_id}/revoke")
def revoke_key(visit: Admin, key_id: UUID) -> Response:
    """Refuse a key from now on."""
    with visit.transaction() as connection:
        keys.revoke(connection, visit.brand_id, key_id)
    known_keys.forget(key_id)
    return visit.done("The key is refused from now on.")


@router.post("/access/people")
def add_person(visit: Admin) -> Response:
    """Give somebody a role, and a link that lets them in once."""
    with visit.transaction() as connection:
        token = invitations.invite(
            connection,
            visit.request.app.state.looks,
            visit.brand_id,
            visit.session.person_id,
            visit.said("email") or "",
            visit.said("role") or "",
        )
    link = str(visit.request.base_url).rstrip("/") + sign_ins.path_of(token, visit.brand_id)
    return _shown(visit, link=link, whom=visit.said("email"))


@router.post("/access/people/{person_id}/remove")
def remove_person(visit: Admin, person_id: UUID) -> Response:
    """Take somebody's role."""
    with visit.transaction() as connection:
        people.remove(connection, visit.brand_id, person_id)
    return visit.done("They have no role here any more.")


@router.post("/access/people/{person_id}/sign-out")
def sign_out(visit: Admin, person_id: UUID) -> Response:
    """Sign somebody out of every browser."""
    with visit.transaction() as connection:
        people.sign_out(connection, visit.brand_id, person_id)
    return visit.done("They are signed out everywhere.")


def _shown(visit: Visit, *, new_key: str | None = None, link: str | None = None, whom: str | None = None) -> Response:
    with visit.transaction() as connection:
        programs = keys.all_of(connection, visit.brand_id)
        persons = people.all_of(connection, visit.brand_id)
    return visit.page(
        "access.html",
        here="access",
        keys=programs,
        people=persons,
        roles=MEANINGS,
        scopes=keys.SCOPES,
        new_key=new_key,
        link=link,
        whom=whom,
        files={name: file_address(visit, name) for name in _COLUMNS},
    )
