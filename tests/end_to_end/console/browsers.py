"""A browser without a window: it keeps cookies, follows redirects, and sends the forms that pages have."""

import re
from html import unescape
from typing import Any
from uuid import UUID

import httpx

from issuance.database.connections import transaction
from issuance.people import people, sign_ins
from tests.serving import Server
from tests.waiting import eventually

_INPUT = re.compile(r"<input\b[^>]*>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


class Browser:
    """Somebody at the console."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, follow_redirects=True, timeout=60)

    def let_in(self, brand_id: UUID, role: str, email: str = "ada@example.com", password: str = "") -> "Browser":
        """Sign in by a link, with a role in a brand."""
        with transaction(self.server.engine, brand_id) as connection:
            person_id = people.add(connection, brand_id, email, role)
            token = sign_ins.make_link(connection, person_id)
        answer = self.http.post(f"/console/link/{token}", data={"password": password})
        assert answer.status_code == 200, answer.text
        return self

    def get(self, address: str, status: int = 200, **query: Any) -> str:
        """A page, which must have `status`."""
        answer = self.http.get(address, params=query or None)
        assert answer.status_code == status, answer.text
        return answer.text

    def counted(self, address: str) -> str:
        """A page once all that it shows is counted, which it does not wait for."""
        eventually(lambda: "being counted" not in self.get(address))
        return self.get(address)

    def form_token(self, page: str) -> str:
        """What the forms of a page carry."""
        for found in _INPUT.findall(page):
            attributes = {name: unescape(value) for name, value in _ATTRIBUTE.findall(found)}
            if attributes.get("name") == "form_token":
                return attributes["value"]
        raise AssertionError("the page has no form")

    def send(self, page: str, address: str, status: int = 200, **fields: str) -> str:
        """What comes of a form of a page."""
        answer = self.http.post(address, data={"form_token": self.form_token(page), **fields})
        assert answer.status_code == status, answer.text
        return answer.text
