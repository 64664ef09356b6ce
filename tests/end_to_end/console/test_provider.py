"""Signing in by the operator's identity provider: whom it is believed of, and whom not (INTERFACE 12)."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from oidc_provider_mock import run_server_in_thread
from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.people import people
from issuance.people.oidc import NotVouchedFor, Provider, ProviderAway
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server

# The provider's own library is newer than what it calls of it.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NewBrowser = Callable[[], Browser]
COOKIE = "issuance_oidc"


@pytest.fixture(scope="module")
def provider(server: Server) -> Iterator[httpx.Client]:
    """The provider of the server's settings; what it says of somebody is put to it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        with (
            run_server_in_thread(port=urlsplit(server.issuer).port or 0),
            httpx.Client(base_url=server.issuer) as client,
        ):
            yield client


@pytest.fixture
def email(server: Server, brand: NewBrand) -> str:
    """The address of somebody who has a role."""
    address = f"{uuid4()}@example.com"
    with transaction(server.engine, brand.brand_id) as connection:
        people.add(connection, brand.brand_id, address, "viewer")
    return address


def says(provider: httpx.Client, email: str, subject: str | None = None, **claims: Any) -> str:
    """Put to the provider what it says of somebody; their subject."""
    subject = subject or str(uuid4())
    told = {"email": email, "email_verified": True, **claims}
    assert provider.put(f"/users/{subject}", json=told).status_code == 204
    return subject


def sign_in(browser: Browser, provider: httpx.Client, subject: str, to: str = "") -> httpx.Response:
    """There and back: what the browser is shown in the end."""
    return browser.http.get(returned(browser, provider, subject, to))


def returned(browser: Browser, provider: httpx.Client, subject: str, to: str = "") -> str:
    """The address at which the provider sends a browser back."""
    there = browser.http.get("/console/oidc", params={"to": to}, follow_redirects=False)
    assert there.status_code == 303
    back = provider.post(there.headers["location"], data={"sub": subject})
    assert back.status_code == 302, back.text
    return back.headers["location"]


def test_who_has_a_role_is_let_in_and_comes_to_the_page_that_was_asked_for(
    provider: httpx.Client, brand: NewBrand, new_browser: NewBrowser, email: str
) -> None:
    """By a code that only this browser can redeem (PKCE), for this sign-in only (state, nonce)."""
    browser = new_browser()
    assert "Sign in with localhost" in browser.get("/console/sign-in")
    there = browser.http.get("/console/oidc", follow_redirects=False)
    asked = parse_qs(urlsplit(there.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    page = f"/console/{brand.brand_id}/rules"
    shown = sign_in(browser, provider, says(provider, email.upper()), page)
    assert (shown.status_code, shown.url.path) == (200, page)
    assert browser.http.cookies.get(COOKIE) is None


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"aud": "another program"}, "aud"),
        ({"aud": ["issuance", "another program"]}, "meant for others"),
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"iat": 4_000_000_000}, "future"),
        ({"email_verified": False}, "verified"),
        ({"email_verified": "true"}, "verified"),
        ({"email_verified": None}, "verified"),
    ],
    ids=str,
)
def test_an_answer_that_is_not_for_this_sign_in_lets_nobody_in(
    provider: httpx.Client, brand: NewBrand, new_browser: NewBrowser, email: str, claims: dict[str, Any], said: str
) -> None:
    """Of another issuer, for another program, of another sign-in, too old, or of an address that is not verified."""
    browser = new_browser()
    shown = sign_in(browser, provider, says(provider, email, **claims))
    assert shown.status_code == 401
    assert said in shown.text
    assert browser.http.get(f"/console/{brand.brand_id}/").url.path == "/console/sign-in"


def test_who_has_no_role_gets_in_nowhere(
    provider: httpx.Client, brand: NewBrand, new_browser: NewBrowser, email: str, server: Server
) -> None:
    """A stranger, and somebody whose last role was taken: there is not even a session."""
    assert sign_in(new_browser(), provider, says(provider, f"{uuid4()}@example.com")).status_code == 403
    subject = says(provider, email)
    assert sign_in(new_browser(), provider, subject).status_code == 200
    with transaction(server.engine, brand.brand_id) as connection:
        (gone,) = [one["id"] for one in people.all_of(connection, brand.brand_id) if one["email"] == email]
        people.remove(connection, brand.brand_id, gone)
    browser = new_browser()
    assert sign_in(browser, provider, subject).status_code == 403
    assert browser.http.cookies.get("issuance_session") is None


def test_an_account_stays_its_persons_and_an_address_that_went_to_somebody_else_opens_nothing(
    provider: httpx.Client, brand: NewBrand, new_browser: NewBrowser, email: str
) -> None:
    """The first account that comes with the address is theirs, whatever address it has later; a link begins anew."""
    first = says(provider, email)
    assert sign_in(new_browser(), provider, first).status_code == 200
    says(provider, f"{uuid4()}@example.com", first)
    assert sign_in(new_browser(), provider, first).status_code == 200
    second = says(provider, email)
    assert sign_in(new_browser(), provider, second).status_code == 403
    new_browser().let_in(brand.brand_id, "viewer", email)
    assert sign_in(new_browser(), provider, second).status_code == 200


def test_an_answer_is_taken_only_by_the_browser_that_asked(
    provider: httpx.Client, new_browser: NewBrowser, email: str
) -> None:
    """Neither another browser's, nor one with another state, nor the same again, nor a refusal (login CSRF)."""
    asker, other = new_browser(), new_browser()
    address = returned(asker, provider, says(provider, email))
    assert other.http.get(address).status_code == 401
    returned(other, provider, says(provider, email))
    assert other.http.get(address).status_code == 401
    assert asker.http.get(address).status_code == 200
    assert asker.http.get(address).status_code == 401
    refuser = new_browser()
    state = parse_qs(urlsplit(returned(refuser, provider, says(provider, email))).query)["state"][0]
    refused = refuser.http.get("/console/oidc/back", params={"state": state, "error": "access_denied"})
    assert refused.status_code == 401
    sent = new_browser().http.get("/console/oidc", headers={"sec-fetch-site": "cross-site"})
    assert sent.url.path == "/console/sign-in"


def test_a_planted_cookie_is_no_sign_in(provider: httpx.Client, new_browser: NewBrowser, email: str) -> None:
    """Whatever it holds, it is told in words."""
    for planted in ("", "nonsense", "e30=", "W10=", "eyJzdGF0ZSI6IDF9", "W1tb" * 990, "x" * 5000):
        browser = new_browser()
        browser.http.cookies.set(COOKIE, planted)
        assert browser.http.get("/console/oidc/back", params={"code": "1", "state": "1"}).status_code == 401


def test_a_code_that_the_provider_does_not_know_is_told_in_words(
    new_browser: NewBrowser, provider: httpx.Client
) -> None:
    browser = new_browser()
    there = browser.http.get("/console/oidc", follow_redirects=False)
    state = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
    shown = browser.http.get("/console/oidc/back", params={"code": "unknown", "state": state})
    assert shown.status_code == 401
    assert "no token" in shown.text


def test_a_provider_that_is_away_and_one_that_names_another_issuer_let_nobody_in(
    provider: httpx.Client, server: Server
) -> None:
    """Its document must be its own: else one that is read over another's address would be believed."""
    with pytest.raises(ProviderAway):
        Provider("http://127.0.0.1:1", "issuance", None).begin("http://127.0.0.1/back")
    with pytest.raises(NotVouchedFor, match="another issuer"):
        Provider(f"{server.issuer}/", "issuance", None).begin("http://127.0.0.1/back")


def test_the_account_is_kept_whole(server: Server, email: str) -> None:
    """An issuer without its subject can not be stored."""
    with pytest.raises(Exception, match="people_account_whole"), transaction(server.engine) as connection:
        connection.execute(text("UPDATE people SET oidc_issuer = 'x' WHERE email = :email"), {"email": email})
