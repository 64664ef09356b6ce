"""Every page in Chromium: nothing is wrong, whoever looks, on whatever (INTERFACE 12)."""

from collections.abc import Callable
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, expect

from campaigns.console.chromium import DESK, PHONE, Watched
from campaigns.console.pages import addresses
from issuance.database.connections import transaction
from tests.end_to_end.client import Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server
from tests.waiting import PATIENCE_SECONDS, eventually

NewBrowser = Callable[[], Browser]
#: Rules of axe-core that WCAG 2.2 AA asks for.
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
LOOKS: tuple[tuple[int, dict[str, Any]], ...] = (
    (PHONE[0], {"viewport": {"width": PHONE[0], "height": PHONE[1]}, "color_scheme": "light"}),
    (DESK[0], {"viewport": {"width": DESK[0], "height": DESK[1]}, "color_scheme": "dark"}),
)
REVERSED = """() => [...document.querySelectorAll("th, td")].some(one => getComputedStyle(one).direction === "rtl")"""
JSON_EVENT = {"content-type": "application/cloudevents+json"}
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 7


def club(server: Server, brand: NewBrand) -> Client:
    """A brand with something of everything, long names too: what each page can show is on it."""
    with server.client(brand.key) as http:
        client = Client(http)
        rule = client.rule(issue_on_signup=True, coupon_name=f"Spa {LONG}"[:120])
        client.member(
            guests=[
                {"name": "Ada Lovelace", "email": "ada@example.com", "external_user_id": "ada", "lead_booker": True},
                {"name": LONG[:200], "lead_booker": False},
            ]
        )
        paused = client.member(external_user_id="bea")
        client.send(client.event("membership.status_changed", membership_id=paused, status="paused"))
        idle = {"charge_id": "idle", "period_start": "2031-01-19"}
        client.send(client.event("charge.succeeded", membership_id=paused, **idle))
        client.http.post("/billing-events", json={"specversion": "1.0", "id": "wrong"}, headers=JSON_EVENT)
        client.send(
            client.event(
                "charge.succeeded", membership_id=str(brand.brand_id), charge_id="c", period_start="2031-01-01"
            )
        )
        client.ok("PUT", "/v1/members/ada", 200, {"displayName": "Ada"})
        client.ok("POST", "/v1/webhooks", 201, {"url": "http://127.0.0.1:1/hook", "events": ["credit.issued"]})
        client.ok("POST", "/billers", 201, {"kind": "stripe", "secret": "whsec_" + "a" * 32})
        client.until("2031-03-02T00:00:00Z")
        client.ok(
            "POST",
            "/replays",
            202,
            {"credit_rule_id": rule["id"], "from": "2031-01-01", "to": "2031-02-01", "dry_run": True},
        )
        preview = {"credit_rule_id": rule["id"], "rule": {"for_lead_booker_only": True}, "months": 3}
        run = client.ok("POST", "/customers/membership-credit-rules/preview", 202, preview)
        eventually(lambda: client.ok("GET", f"/runs/{run['id']}")["state"] == "finished")
        return client


def signed_in(chromium: Chromium, browser: Browser, **look: Any) -> BrowserContext:
    """Windows of somebody who is signed in already."""
    context = chromium.new_context(**look)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    (cookie,) = [one for one in browser.http.cookies.jar if one.name == "issuance_session"]
    context.add_cookies([{"name": cookie.name, "value": cookie.value or "", "url": browser.server.url}])
    return context


def found(server: Server, brand: NewBrand) -> dict[str, str]:
    """The address of each page; there is none without one."""
    with transaction(server.engine, brand.brand_id) as connection:
        pages = addresses(connection, brand.brand_id)
    assert [path for path, address in pages.items() if address is None] == []
    return {path: address for path, address in pages.items() if address is not None}


def test_every_page_is_sound_on_a_phone_and_at_a_desk_light_and_dark(
    chromium: Chromium, server: Server, brand: NewBrand, admin: Browser
) -> None:
    """Nothing in the console's log, no request leaves the origin, nothing is wider than the window, and axe finds no
    violation of WCAG 2.2 AA: on every page that there is a route for."""
    club(server, brand)
    pages = {
        **found(server, brand),
        "signing in": "/console/sign-in",
        "the first page": "/",
        "an address that is not there": "/docs",
    }
    wrong: dict[str, list[str]] = {}
    axe = Axe()
    for width, look in LOOKS:
        context = signed_in(chromium, admin, **look)
        watched = Watched(context.new_page(), server.url)
        for path, address in pages.items():
            told = watched.open(address)
            if watched.page.evaluate(REVERSED):
                told.append("a table is read from right to left")
            if address != "/docs":  # Swagger UI's own page
                for one in axe.run(watched.page, options=WCAG).response["violations"]:
                    told += [f"{one['id']}: {node['html'][:200]}" for node in one["nodes"][:3]]
            if told:
                wrong[f"{path}, {width} px"] = told
        context.close()
    assert wrong == {}


def test_every_page_says_all_of_it_without_javascript(
    chromium: Chromium, server: Server, brand: NewBrand, admin: Browser
) -> None:
    """And its forms are sent: a credit is used."""
    client = club(server, brand)
    context = signed_in(chromium, admin, java_script_enabled=False, viewport=LOOKS[0][1]["viewport"])
    page = context.new_page()
    for path, address in found(server, brand).items():
        page.goto(server.url + address)
        assert page.locator("h1").first.inner_text().strip(), path
    with server.client(brand.key) as http:
        client.http = http
        given = {
            "membership_id": client.data("/customers/memberships")[0]["id"],
            "coupon_id": "spa",
            "reason": "a gift",
        }
        code = client.ok("POST", "/customers/credits", 201, given)["code"]
    page.goto(f"{server.url}/console/{brand.brand_id}/credits/{code}")
    page.get_by_role("button", name="Use it now").click()
    expect(page.get_by_role("status")).to_contain_text("is used")
    context.close()


def reach(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until something of a name has the focus, which can be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "() => { const e = document.activeElement; const l = e.labels && e.labels[0];"
            " return ((l ? l.innerText : '') + ' ' + (e.innerText || '') + ' ' + (e.placeholder || '')).trim(); }"
        )
        if told.startswith(name):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), (
                f"{name} is not seen"
            )
            return
    raise AssertionError(f"no Tab leads to {name}")


def test_the_desk_works_by_keyboard_alone(
    chromium: Chromium, server: Server, brand: NewBrand, new_browser: NewBrowser
) -> None:
    """Found by "/", opened, extended, transferred, revoked, reinstated, used, and granted: no mouse."""
    with server.client(brand.key) as http:
        client = Client(http)
        client.rule(issue_on_signup=True, for_lead_booker_only=True)
        guests = [
            {"name": "Ada Lovelace", "external_user_id": "ada", "lead_booker": True},
            {"name": "Zoë", "external_user_id": "zoe", "lead_booker": False},
        ]
        client.member(guests=guests)
        client.ok("PUT", "/v1/members/zoe", 200, {"displayName": "Zoë"})
        (credit,) = client.data("/customers/credits")
    context = signed_in(chromium, new_browser().let_in(brand.brand_id, "desk", "keys@example.com"))
    page = context.new_page()
    page.goto(f"{server.url}/console/{brand.brand_id}/")
    page.keyboard.press("/")
    page.keyboard.type("ada lov")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ada Lovelace")
    page.wait_for_load_state()  # "/" is heard by a script
    page.keyboard.press("/")
    page.keyboard.type(credit["code"].lower())
    page.keyboard.press("Enter")
    acts: tuple[tuple[str, list[str], str], ...] = (
        ("Extend", ["12312032", "was ill"], "expires later"),
        ("Revoke", ["by mistake"], "is revoked"),
        ("Reinstate", ["it was right"], "is lifted"),
        ("Transfer", ["zoe", "a gift"], "has it now"),
    )
    for name, typed, said in acts:
        expect(page.get_by_role("heading", name="At the desk")).to_be_visible()
        reach(page, name)
        page.keyboard.press("Enter")
        for text in typed:
            page.keyboard.press("Tab")
            page.keyboard.type(text)
            if text.isdecimal():  # a date's year, month and day are fields of their own
                page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text(said)
    reach(page, "Reference")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is used")
    context.close()
