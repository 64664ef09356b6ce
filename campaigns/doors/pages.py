"""The console's part of the walk: every page as each role sees it, and every form, with the largest that an admin may
send."""

import re
from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from sqlalchemy import text

from campaigns.console.forms import Form, forms_of
from campaigns.console.pages import EXAMPLES
from campaigns.doors import largest
from campaigns.fuzz.site import Site
from issuance.api.requests import longest_body
from issuance.console.app import ROUTERS
from issuance.console.visits import COOKIE, MOST_FIELDS
from issuance.database.connections import transaction
from issuance.people import people, sessions
from issuance.people.roles import ROLES, Role

#: These wait for workers, of which the walk has none.
WAIT = frozenset({"POST /console/{brand_id}/clock"})
#: Lengths of typed texts: those that fields of several kinds just take.
_TYPED = (100, 500, 4000)
#: What acts are called that take something away: they come last.
_LAST = re.compile(r"delete|remove|disable|forget|dismiss|undo|revoke|sign-out|password|redeem|transfer")


class _Visitor(NamedTuple):
    """Somebody who is signed in: what their browser sends, and what stands in their forms."""

    headers: dict[str, str]
    form_token: str


@cache
def document() -> Any:
    """The console's routes as an API document has them."""
    shown = [copy(route) for router in ROUTERS for route in router.routes]
    for route in shown:
        assert isinstance(route, APIRoute), "a page"
        route.include_in_schema = True
    return get_openapi(title="console", version="0", routes=shown)["paths"]


def routes() -> set[str]:
    """All of them, by method and path."""
    return {f"{method.upper()} {path}" for path, of in document().items() for method in of}


def requests(site: Site, known: dict[str, str]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Each request of the walk: pages first, and what takes away last."""
    known = {**known, **_examples(site), "brand_id": str(site.brand_id), "as": "csv"}
    people_of = {role: _person(site, role) for role in ROLES}
    reading = [(path, of["get"].get("parameters", [])) for path, of in sorted(document().items()) if "get" in of]
    forms: list[Form] = []
    for role in ROLES:
        visitor = _visit(site, people_of[role])
        for path, parameters in reading:
            address = _filled(path, known)
            # A role below sees less of a page; what is asked for is the same.
            queries = largest.queries(parameters, known) if role == ROLES[-1] else iter(({}, {"as": "csv"}))
            for query in queries:
                yield f"GET {path}", "get", address, {"params": query, "headers": visitor.headers}
            if role == ROLES[-1]:
                page = site.runner.run(site.client.get(address, headers=visitor.headers))
                forms += forms_of(page.text)
    writing = [path for path, of in document().items() if "post" in of and f"POST {path}" not in WAIT]
    for path in sorted(writing, key=lambda path: (bool(_LAST.search(path)), path)):
        visitor = _visit(site, people_of[ROLES[-1]])
        form = next((one for one in forms if _leads_to(one, path)), Form(_filled(path, known)))
        for body in _bodies(form):
            said = {**body, "form_token": visitor.form_token}
            yield f"POST {path}", "post", form.action, {"data": said, "headers": visitor.headers}


def _bodies(form: Form) -> Iterator[dict[str, str]]:
    """A form as it is, the largest that its fields may take, and what is largest and wrong."""
    most = longest_body(form.action) - 400  # what a browser adds
    yield form.fields
    empty = [name for name in form.typed if not form.fields.get(name)] or ["reason"]
    for length in _TYPED:
        yield {**form.fields, **dict.fromkeys(empty, "'" * length)}
    room = max(0, most - sum(len(name) + 12 * len(value) + 2 for name, value in form.fields.items()))
    for name in {**form.fields, **dict.fromkeys(form.typed)}:
        yield {**form.fields, name: largest.WIDE * (room // 12)}
        yield {**form.fields, name: "1," * (room // 4)}
    number = max(0, MOST_FIELDS - len(form.fields) - 2)
    yield {**form.fields, **{f"unknown{each}": "1" * (room // MOST_FIELDS - 20) for each in range(number)}}
    yield {f"{each}": "" for each in range(most // 8)}


def _leads_to(form: Form, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), form.action) is not None


def _filled(path: str, known: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda part: known.get(part[1]) or str(uuid4()), path)


def _examples(site: Site) -> dict[str, str]:
    """Something of each kind that addresses name."""
    with transaction(site.engine, site.brand_id) as connection:
        found = {name: connection.scalar(text(sql), {"brand_id": site.brand_id}) for name, sql in EXAMPLES.items()}
    return {name: str(value) for name, value in found.items() if value is not None}


def _person(site: Site, role: Role) -> UUID:
    with transaction(site.engine, site.brand_id) as connection:
        return people.add(connection, site.brand_id, f"{uuid4()}@example.com", role)


def _visit(site: Site, person_id: UUID) -> _Visitor:
    with transaction(site.engine, site.brand_id) as connection:
        token = sessions.begin(connection, person_id)
        session = sessions.find(connection, token)
    assert session is not None
    return _Visitor({"cookie": f"{COOKIE}={token}", "sec-fetch-site": "same-origin"}, session.form_token)
