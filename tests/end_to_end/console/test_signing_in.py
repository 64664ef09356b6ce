"""Who gets into the console, how, and for how long (INTERFACE 12)."""

from collections.abc import Callable
from uuid import uuid4

from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.people import people, sessions, sign_ins
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server

PASSWORD = "correct horse battery"
NewBrowser = Callable[[], Browser]


def test_a_stranger_is_sent_to_sign_in_and_comes_back_to_the_page(
    brand: NewBrand, new_browser: NewBrowser, server: Server
) -> None:
    """Whatever was asked for is shown once it is known who asks."""
    new_browser().let_in(brand.brand_id, "viewer", "back@example.com", PASSWORD)
    stranger = new_browser()
    page = f"/console/{brand.brand_id}/?from=afar"
    answer = stranger.http.get(page)
    assert answer.url.path == "/console/sign-in"
    signed_in = stranger.http.post(
        "/console/sign-in",
        data={"email": " Back@Example.com ", "password": PASSWORD, "to": answer.url.params["to"]},
    )
    assert signed_in.url.raw_path.decode() == page


def test_a_link_lets_in_once(brand: NewBrand, new_browser: NewBrowser, server: Server) -> None:
    """Looking at it does not use it up, as programs that read mails look too."""
    with transaction(server.engine, brand.brand_id) as connection:
        person_id = people.add(connection, brand.brand_id, "once@example.com", "viewer")
        address = f"/console/link/{sign_ins.make_link(connection, person_id)}"
    first, second = new_browser(), new_browser()
    assert "once@example.com" in first.get(address)
    assert first.http.post(address).url.path == f"/console/{brand.brand_id}/"
    assert second.http.post(address).status_code == 404
    second.get(address, 404)


def test_each_link_of_the_operator_is_good_by_itself_and_leads_to_its_brand(
    brand: NewBrand, new_browser: NewBrowser, server: Server
) -> None:
    """`./run` and two demos beside it: neither a further role nor another's use ends a link, and brands of one name
    are told apart. A brand that one has no role in opens by no link."""
    brands = [brand.brand_id, *(server.new_brand().brand_id for _ in range(2))]
    links = []
    for brand_id in brands:
        with transaction(server.engine, brand_id) as connection:
            person_id = people.add(connection, brand_id, "operator@example.com", "admin")
            links.append(sign_ins.path_of(sign_ins.make_link(connection, person_id), brand_id))
    for brand_id, link in reversed(list(zip(brands, links, strict=True))):
        opened = new_browser().http.post(link)
        assert opened.url.path == f"/console/{brand_id}/"
        for other in brands:
            assert f"…{str(other)[-6:]}, made " in opened.text
    with transaction(server.engine, brand.brand_id) as connection:
        link = sign_ins.path_of(sign_ins.make_link(connection, person_id), uuid4())
    assert new_browser().http.post(link).status_code == 404


def test_a_wrong_password_and_a_stranger_are_told_the_same(brand: NewBrand, new_browser: NewBrowser) -> None:
    """Nobody learns who has an account."""
    new_browser().let_in(brand.brand_id, "viewer", "known@example.com", PASSWORD)
    said = set()
    for email in ("known@example.com", f"{uuid4()}@example.com"):
        answer = new_browser().http.post("/console/sign-in", data={"email": email, "password": "wrong"})
        assert answer.status_code == 401
        said.add(answer.text.replace(email, ""))
    assert len(said) == 1


def test_guessing_is_slowed_down_for_known_and_unknown_addresses(brand: NewBrand, new_browser: NewBrowser) -> None:
    """After five wrong ones the right one has to wait too; other addresses do not."""
    new_browser().let_in(brand.brand_id, "viewer", "slow@example.com", PASSWORD)
    for email in ("slow@example.com", f"{uuid4()}@example.com"):
        guesser = new_browser()
        statuses = [
            guesser.http.post("/console/sign-in", data={"email": email, "password": "wrong"}).status_code
            for _ in range(6)
        ]
        assert statuses == [401] * 5 + [429]
    waits = new_browser().http.post("/console/sign-in", data={"email": "slow@example.com", "password": PASSWORD})
    assert waits.status_code == 429
    assert 1 < int(waits.headers["Retry-After"]) <= sign_ins.FIRST_WAIT


def test_new_passwords_are_counted_by_link_and_person(brand: NewBrand, new_browser: NewBrowser, server: Server) -> None:
    """To judge one costs time. After five, good or refused, there is a wait; the link and the session stay good."""
    with transaction(server.engine, brand.brand_id) as connection:
        person_id = people.add(connection, brand.brand_id, "choosy@example.com", "viewer")
        address = f"/console/link/{sign_ins.make_link(connection, person_id)}"
    browser = new_browser()
    weak = [browser.http.post(address, data={"password": "password1234"}) for _ in range(6)]
    assert [answer.status_code for answer in weak] == [422] * 5 + [429]
    assert "Too many new passwords" in weak[-1].text
    assert 1 < int(weak[-1].headers["Retry-After"]) <= sign_ins.FIRST_WAIT
    assert browser.http.post(address).status_code == 200
    present, answers = "", []
    for number in range(6):
        new = f"{PASSWORD} {number}"
        form = {"form_token": browser.form_token(browser.get("/console/me")), "password": present, "new_password": new}
        answers.append(browser.http.post("/console/me/password", data=form))
        present = new
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert "Too many new passwords" in answers[-1].text
    assert 1 < int(answers[-1].headers["Retry-After"]) <= sign_ins.FIRST_WAIT
    browser.get(f"/console/{brand.brand_id}/")


def test_a_session_is_new_at_each_sign_in(brand: NewBrand, new_browser: NewBrowser) -> None:
    """A cookie that somebody planted before is not the one of the session (session fixation)."""
    browser = new_browser()
    browser.http.cookies.set("issuance_session", "planted")
    browser.let_in(brand.brand_id, "viewer")
    assert "planted" not in [cookie.value for cookie in browser.http.cookies.jar if cookie.path == "/"][-1:]
    planted = new_browser()
    planted.http.cookies.set("issuance_session", "planted")
    assert planted.http.get(f"/console/{brand.brand_id}/").url.path == "/console/sign-in"


def test_the_cookie_is_for_this_origin_and_no_script(brand: NewBrand, new_browser: NewBrowser, server: Server) -> None:
    with transaction(server.engine, brand.brand_id) as connection:
        person_id = people.add(connection, brand.brand_id, "cookie@example.com", "viewer")
        token = sign_ins.make_link(connection, person_id)
    answer = new_browser().http.post(f"/console/link/{token}", follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_signing_out_everywhere_ends_every_session(brand: NewBrand, new_browser: NewBrowser) -> None:
    one, other = (new_browser().let_in(brand.brand_id, "viewer", "two@example.com") for _ in range(2))
    address = f"/console/{brand.brand_id}/"
    one.send(one.get("/console/me"), "/console/sign-out", everywhere="yes")
    for browser in (one, other):
        assert browser.http.get(address).url.path == "/console/sign-in"


def test_an_idle_session_is_over(admin: Browser, brand: NewBrand, server: Server) -> None:
    with transaction(server.engine) as connection:
        connection.execute(text("UPDATE sessions SET seen_at = seen_at - :idle"), {"idle": sessions.IDLE})
    assert admin.http.get(f"/console/{brand.brand_id}/").url.path == "/console/sign-in"


def test_a_form_of_another_site_is_refused(admin: Browser, brand: NewBrand) -> None:
    """Without the session's own token, and from another origin even with it (CSRF)."""
    page = admin.get("/console/me")
    token = admin.form_token(page)
    assert admin.http.post("/console/sign-out").status_code == 403
    assert admin.http.post("/console/sign-out", data={"form_token": "0" * 64}).status_code == 403
    for header in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        refused = admin.http.post("/console/sign-out", data={"form_token": token}, headers=header)
        assert refused.status_code == 403
    admin.get(f"/console/{brand.brand_id}/")


def test_another_brand_is_as_unknown_as_one_that_is_not_there(admin: Browser, brand: NewBrand, server: Server) -> None:
    """A role in one brand opens no other; nobody learns which brands there are."""
    other = server.new_brand().brand_id
    pages = [admin.http.get(f"/console/{brand_id}/") for brand_id in (other, uuid4(), "nothing")]
    assert [page.status_code for page in pages] == [404] * 3
    assert len({page.text for page in pages}) == 1


def test_who_loses_a_role_is_out_at_once(brand: NewBrand, admin: Browser, new_browser: NewBrowser) -> None:
    viewer = new_browser().let_in(brand.brand_id, "viewer", "gone@example.com")
    with transaction(viewer.server.engine, brand.brand_id) as connection:
        (gone,) = [one for one in people.all_of(connection, brand.brand_id) if one["email"] == "gone@example.com"]
        people.remove(connection, brand.brand_id, gone["id"])
    viewer.get(f"/console/{brand.brand_id}/", 404)


def test_pages_load_nothing_from_elsewhere(admin: Browser, brand: NewBrand) -> None:
    """A strict policy: no inline script, no other origin; files come from here."""
    answer = admin.http.get(f"/console/{brand.brand_id}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    for name in ("console.css", "console.js", "inter-latin.woff2", "icon.svg"):
        assert admin.http.get(f"/console/static/{name}").status_code == 200
    for name in ("inter-license.txt", "..%2Fapp.py", "nothing.css"):
        assert admin.http.get(f"/console/static/{name}").status_code == 404
