"""Finding somebody, seeing why, and setting it right credit by credit (SEMANTICS 13, 15)."""

import re
from collections.abc import Callable
from html import unescape
from uuid import uuid4

from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.tenancy import keys
from tests.end_to_end.client import Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server

NewBrowser = Callable[[], Browser]
_CODE = re.compile(r'class="code" href="[^"]*/credits/([0-9A-Z]+)"')
_MARKUP = "<script>alert(1)</script>"


def club(server: Server, brand: NewBrand) -> tuple[Client, str]:
    """Ada Lovelace has a credit of a monthly rule; Zoë is her guest, and is called by markup too."""
    with server.client(brand.key) as http:
        client = Client(http)
        client.rule(issue_on_signup=True, for_lead_booker_only=True)
        guests = [
            {"name": "Ada Lovelace", "email": "ada@example.com", "external_user_id": "ada", "lead_booker": True},
            {"name": f"Zoë O'Hara {_MARKUP}", "lead_booker": False},
        ]
        membership_id = client.member(guests=guests)
        (credit,) = client.data("/customers/credits")
        return client, f"{membership_id} {credit['code']}"


def test_one_box_finds_by_beginnings_of_words_ids_and_codes(server: Server, brand: NewBrand, admin: Browser) -> None:
    """However it is typed; whoever is the only one is shown at once."""
    membership_id, code = club(server, brand)[1].split()
    root = f"/console/{brand.brand_id}"
    for typed in ("ada lov", "LOVELACE a", "ada@exam", "ada"):
        answer = admin.http.get(f"{root}/find", params={"q": typed})
        assert answer.url.path.startswith(f"{root}/members/"), typed
        assert "Ada Lovelace" in answer.text
    for typed in ("zoe", "Zoë o", "hara"):
        assert admin.http.get(f"{root}/find", params={"q": typed}).url.path == f"{root}/memberships/{membership_id}"
    at_the_till = "-".join([code[:4].lower(), code[4:8].lower(), code[8:].lower()])
    for typed, page in ((membership_id, f"memberships/{membership_id}"), (at_the_till, f"credits/{code}")):
        assert admin.http.get(f"{root}/find", params={"q": typed}).url.path == f"{root}/{page}"
    with transaction(server.engine, brand.brand_id) as connection:
        misread = {"code": code, "new": f"0011{code[4:]}"}
        connection.execute(text("UPDATE credits SET code = :new WHERE code = :code"), misread)
    found = admin.http.get(f"{root}/find", params={"q": f"oOiL{code[4:]}"})
    assert found.url.path == f"{root}/credits/0011{code[4:]}", "no code has the letters O, I and L"
    for nothing in ("ovelace", "", "%", "%'; --", "x" * 10_000, "\x00"):
        assert "Nobody and nothing" in admin.get(f"{root}/find", q=nothing) or not nothing.strip("\x00")


def test_another_brands_people_credits_and_memberships_are_not_found(
    server: Server, brand: NewBrand, new_browser: NewBrowser
) -> None:
    membership_id, code = club(server, brand)[1].split()
    other = server.new_brand().brand_id
    stranger = new_browser().let_in(other, "admin", "stranger@example.com")
    for typed in ("ada", "ada@example.com", membership_id, code):
        assert "Nobody and nothing" in stranger.get(f"/console/{other}/find", q=typed)
    for page in (f"memberships/{membership_id}", f"credits/{code}", f"credits/{code}/print"):
        stranger.get(f"/console/{other}/{page}", 404)
    start = stranger.get(f"/console/{other}/")
    stranger.send(start, f"/console/{other}/credits/{code}/redeem", 404)


def test_the_timeline_says_why_in_one_click(server: Server, brand: NewBrand, admin: Browser) -> None:
    """Each cell leads to the sentence of explain and the facts behind it; what people typed is shown, not obeyed."""
    membership_id, code = club(server, brand)[1].split()
    page = admin.get(f"/console/{brand.brand_id}/memberships/{membership_id}")
    assert _MARKUP not in page
    cells = [unescape(link) for link in re.findall(r'class="cell [a-z]+" href="([^"]+)"', page)]
    assert len(cells) >= 2
    opened = admin.get(cells[0])
    assert 'id="why"' in opened
    assert "Ada Lovelace" in opened
    assert code in opened


def test_the_reason_says_when_the_pause_and_the_charge_came(server: Server, brand: NewBrand, admin: Browser) -> None:
    """In one format of dates: from when to when it was paused, and when the nearest charge was told of. What was told
    of money is shown as it was told."""
    with server.client(brand.key) as http:
        client = Client(http)
        client.rule(issuing_frequency="P1M")
        client.until("2031-01-20T09:00:00Z")
        membership_id = client.member()
        pause = {"membership_id": membership_id, "status": "paused"}
        client.send(client.event("membership.status_changed", "2031-01-21T10:15:00Z", **pause))
        client.until("2031-03-10T00:00:00Z")
        back = {"membership_id": membership_id, "status": "active"}
        client.send(client.event("membership.status_changed", "2031-03-09T11:45:00Z", **back))
    page = admin.get(f"/console/{brand.brand_id}/memberships/{membership_id}")
    assert '<td class="number">10</td>' in page
    (march,) = re.findall(r'class="cell none" href="([^"]+2031-03-01[^"]*)"', page)
    why = admin.get(unescape(march)).partition('id="why"')[2].partition("</section>")[0]
    assert "since 21 Jan 2031, 10:15; active 9 Mar 2031, 11:45" in why
    assert "succeeded 20 Jan 2031, 09:00" in why
    assert not re.search(r">[^<]*2031-\d\d", why), "its dates are as those of the page"


def test_the_desk_corrects_with_a_reason_and_the_audit_names_the_person(
    server: Server, brand: NewBrand, new_browser: NewBrowser
) -> None:
    """Revoked, reinstated, extended, used: each as the desk's person, none without a reason."""
    client, ids = club(server, brand)
    membership_id, code = ids.split()
    desk = new_browser().let_in(brand.brand_id, "desk", "desk@example.com")
    address = f"/console/{brand.brand_id}/credits/{code}"
    page = desk.get(address)
    assert "Say why" in desk.send(page, f"{address}/revoke", back=address)
    assert "It is revoked." in desk.send(page, f"{address}/revoke", reason="by mistake", back=address)
    assert "lifted" in desk.send(page, f"{address}/reinstate", reason="it was right", back=address)
    extended = desk.send(page, f"{address}/extend", reason="was ill", expires_on="2031-12-31", back=address)
    assert "It expires later now." in extended
    assert "1 Jan 2032, 00:00" in extended
    assert "is used" in desk.send(page, f"{address}/redeem", back=address)
    assert "already" in desk.send(page, f"{address}/redeem", back=address).lower()
    granted = desk.send(
        page,
        f"/console/{brand.brand_id}/memberships/{membership_id}/grant",
        coupon_id="spa",
        reason="sorry",
        back=address,
    )
    assert "has a Spa more.</p>" in granted, "its code stands in the page, and in no cookie"
    with server.client(brand.key) as http:
        client.http = http
        entries = client.data("/audit")
    by_desk = [(one["action"], one["reason"]) for one in entries if one["actor"]["name"] == "desk@example.com"]
    assert by_desk == [
        ("credit.granted", "sorry"),
        ("credit.redeemed", None),
        ("credit.extended", "was ill"),
        ("credit.reinstated", "it was right"),
        ("credit.revoked", "by mistake"),
    ]


def test_whoever_is_typed_is_found_by_the_brands_own_ids_too(server: Server, brand: NewBrand, admin: Browser) -> None:
    """A brand may call its members by ids that look like ours; a guest of the order comes first."""
    client, ids = club(server, brand)
    membership_id, code = ids.split()
    root = f"/console/{brand.brand_id}/credits"
    with server.client(brand.key) as http:
        client.http = http
        guests = client.ok("GET", f"/customers/memberships/{membership_id}")["guests"]
        (zoe,) = [guest["id"] for guest in guests if guest["name"].startswith("Zo")]
        member = uuid4().hex
        for name in (member, zoe):
            client.ok("PUT", f"/v1/members/{name}", 200, {"displayName": name})
        page = admin.get(f"{root}/{code}")
        holders = []
        for to in (member, zoe, "ada"):
            assert "Its code is new" in admin.send(page, f"{root}/{code}/transfer", to=to, reason="a gift")
            (credit,) = client.data("/customers/credits")
            code = credit["code"]
            holders.append((credit["holder"]["id"], credit["holder"]["external_user_id"]))
    assert holders == [(None, member), (zoe, None), (None, "ada")]


def test_a_credits_page_offers_what_the_desk_would_make(server: Server, brand: NewBrand, admin: Browser) -> None:
    """By who took it back, and not by what they are called: a key may be called as the facts are."""
    client, ids = club(server, brand)
    with transaction(server.engine, brand.brand_id) as connection:
        _, key = keys.create(connection, brand.brand_id, ["read", "write"], name="facts")
    with server.client(key) as http:
        client.http = http
        client.ok("POST", f"/customers/credits/{ids.split()[1]}/revoke", 200, {"reason": "x"})
    address = f"/console/{brand.brand_id}/credits/{ids.split()[1]}"
    offered = re.compile(r"<summary>(Extend|Transfer|Revoke|Reinstate)<")
    assert offered.findall(admin.get(address)) == ["Reinstate"]
    with server.client(brand.key) as http:
        client.http = http
        client.ok("DELETE", "/v1/members/ada")
    assert offered.findall(admin.get(address)) == []


def test_a_viewer_changes_nothing(server: Server, brand: NewBrand, new_browser: NewBrowser) -> None:
    """Neither by what pages show nor by sending the forms of others."""
    membership_id, code = club(server, brand)[1].split()
    viewer = new_browser().let_in(brand.brand_id, "viewer", "viewer@example.com")
    root = f"/console/{brand.brand_id}"
    page = viewer.get(f"{root}/credits/{code}")
    assert "At the desk" not in page
    for act in ("redeem", "extend", "transfer", "revoke", "reinstate"):
        viewer.send(page, f"{root}/credits/{code}/{act}", 403, reason="x", expires_on="2031-12-31", to="ada")
    viewer.send(page, f"{root}/memberships/{membership_id}/grant", 403, reason="x", coupon_id="spa")


def test_a_list_is_taken_along_as_csv(server: Server, brand: NewBrand, admin: Browser) -> None:
    """All rows, and nothing that a spreadsheet would compute."""
    membership_id, code = club(server, brand)[1].split()
    root = f"/console/{brand.brand_id}"
    listed = admin.http.get(f"{root}/credits", params={"as": "csv"})
    assert listed.headers["content-type"].startswith("text/csv")
    assert code in listed.text
    assert membership_id in admin.get(f"{root}/memberships?as=csv")
