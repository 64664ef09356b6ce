"""Links lead to the operator's own address, whatever host a request names."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from campaigns.fuzz.site import Site, site_on
from issuance import settings
from issuance.cli import people as people_command
from issuance.console.rendering import SAID, SECURE_SAID
from issuance.console.visits import SECURE_COOKIE
from issuance.database.connections import transaction
from issuance.errors import SettingsError
from issuance.people import people, sessions
from issuance.people.oidc import Begun
from issuance.settings import OwnSettings, Settings

HOME, EVIL = "https://credits.example", {"host": "evil.example", "x-forwarded-host": "evil.example"}


class Provider:
    """An identity provider that only hears where to come back to."""

    back = ""

    def begin(self, back: str) -> Begun:
        self.back = back
        return Begun("https://id.example/", "state", "nonce", "verifier")


@pytest.fixture(scope="module")
def home(database_url: str, redis_url: str) -> Iterator[Site]:
    said = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ISSUANCE_PUBLIC_URL": f"{HOME}:443/"}
    with site_on(Settings.model_validate(said)) as site:
        yield site


def test_links_of_lists_lead_home(home: Site) -> None:
    """A stranger's host is in none of them."""
    links = home.call("GET", "/customers/coupons?per_page=1", headers=EVIL).json()["links"]
    assert links["first"] == f"{HOME}/customers/coupons?page=1&per_page=1"
    assert all(link is None or link.startswith(f"{HOME}/") for link in links.values())


def test_a_biller_is_given_the_address_at_home(home: Site) -> None:
    """It sends its webhooks there for years."""
    made = home.call("POST", "/billers", json={"kind": "stripe", "secret": "whsec_a_secret"}, headers=EVIL).json()
    assert made["url"] == f"{HOME}/billers/stripe/{made['id']}"
    assert [one["url"] for one in home.call("GET", "/billers", headers=EVIL).json()["data"]] == [made["url"]]


def test_an_invitation_and_the_way_back_from_the_provider_lead_home(home: Site) -> None:
    """Or a link that lets somebody in, or the code of a sign-in, would go to a stranger."""
    with transaction(home.engine, home.brand_id) as connection:
        person_id = people.add(connection, home.brand_id, f"{uuid4()}@example.com", "admin")
        token = sessions.begin(connection, person_id)
    form = {"email": f"{uuid4()}@example.com", "role": "viewer", "form_token": sessions.form_token_of(token)}
    headers = {**EVIL, "cookie": f"{SECURE_COOKIE}={token}", "origin": HOME}
    invited = home.call("POST", f"/console/{home.brand_id}/access/people", data=form, headers=headers)
    assert f"<code>{HOME}/console/" in invited.text
    assert "evil.example" not in invited.text
    foreign = home.call(
        "POST",
        f"/console/{home.brand_id}/access/people",
        data=form,
        headers={**headers, "origin": "https://evil.example"},
    )
    assert foreign.status_code == 403
    home.app.state.provider = provider = Provider()
    assert home.call("GET", "/console/oidc", headers=EVIL).status_code == 303
    assert provider.back == f"{HOME}/console/oidc/back"


def test_what_a_page_says_of_the_last_form_is_kept_as_a_session_is(home: Site) -> None:
    """No insecure page sees it, and no other host can put words into a page. It holds no credit's code."""
    with transaction(home.engine, home.brand_id) as connection:
        person_id = people.add(connection, home.brand_id, f"{uuid4()}@example.com", "admin")
        token = sessions.begin(connection, person_id)
    form = {"form_token": sessions.form_token_of(token), "name": "Gold", "billing": "external"}
    address = f"/console/{home.brand_id}/catalog"
    asked = {"origin": HOME, "cookie": f"{SECURE_COOKIE}={token}"}
    done = home.call("POST", f"{address}/types", data=form, headers=asked)
    (kept,) = done.headers.get_list("set-cookie")
    name, _, said = kept.partition(";")[0].partition("=")
    assert name == SECURE_SAID
    assert {"Secure", "HttpOnly", "Path=/"} <= set(kept.split("; "))
    shown = home.call("GET", address, headers={"cookie": f"{SECURE_COOKIE}={token}; {name}={said}"})
    assert "Gold is there." in shown.text
    (gone,) = shown.headers.get_list("set-cookie")
    assert gone.startswith(f'{SECURE_SAID}=""')
    assert {"Max-Age=0", "Secure", "Path=/"} <= set(gone.split("; "))
    planted = home.call("GET", address, headers={"cookie": f"{SECURE_COOKIE}={token}; {SAID}={said}"})
    assert "Gold is there." not in planted.text


def test_commands_print_links_that_lead_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `issuance people add` and of billers."""
    monkeypatch.setattr(people_command, "settings", lambda: OwnSettings.model_validate({"ISSUANCE_PUBLIC_URL": HOME}))
    assert people_command.public_address() == HOME
    monkeypatch.setattr(people_command, "settings", OwnSettings)
    assert people_command.public_address() == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("said", "home_is"),
    [
        ("https://Credits.Example/", HOME),
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
        ("https://[::1]:443", "https://[::1]"),
    ],
)
def test_the_address_is_a_scheme_and_a_host(monkeypatch: pytest.MonkeyPatch, said: str, home_is: str) -> None:
    """The scheme's own port is left away, as browsers do."""
    monkeypatch.setenv("ISSUANCE_PUBLIC_URL", said)
    assert settings.read(OwnSettings).public_url == home_is


@pytest.mark.parametrize(
    "said",
    [
        "credits.example",
        "ftp://credits.example",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "https://a b",
    ],
)
def test_another_address_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Nothing of its value: somebody may have put a password into it."""
    monkeypatch.setenv("ISSUANCE_PUBLIC_URL", said)
    with pytest.raises(SettingsError, match=r"^ISSUANCE_PUBLIC_URL is wrong: it must be an address without a path"):
        settings.read(OwnSettings)


def test_without_it_links_name_the_host_that_was_asked(database_url: str, redis_url: str) -> None:
    """As a clone on one machine does."""
    with site_on(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url})) as site:
        answer: httpx.Response = site.call("GET", "/customers/coupons?per_page=1", headers={"host": "127.0.0.1:9"})
        assert answer.json()["links"]["first"].startswith("http://127.0.0.1:9/customers/coupons")
        twice = [("host", "a.example"), ("host", "b.example")]
        request = site.client.build_request("GET", "/healthz", headers=twice)
        assert site.runner.run(site.client.send(request)).status_code == 400
