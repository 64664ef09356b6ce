"""Every page that the console has, as addresses of one brand: what is not listed here is found by its route."""

import re
from collections.abc import Iterator
from uuid import UUID

from fastapi.routing import APIRoute
from sqlalchemy import Connection, text

from issuance.console.app import ROUTERS

#: Something of each kind that a brand has, for the parts of addresses; the one with the most to show.
EXAMPLES = {
    "membership_id": """
        SELECT membership_id FROM memberships WHERE brand_id = :brand_id
         ORDER BY status = 'paused' DESC, membership_id LIMIT 1""",
    "member_id": """
        SELECT m.member_id FROM memberships m WHERE m.brand_id = :brand_id
         ORDER BY m.status = 'paused' DESC, m.membership_id LIMIT 1""",
    "code": "SELECT code FROM credits WHERE brand_id = :brand_id ORDER BY credit_id DESC LIMIT 1",
    "credit_rule_id": """
        SELECT credit_rule_id FROM credit_rules WHERE brand_id = :brand_id AND deleted_at IS NULL
         ORDER BY credit_rule_id LIMIT 1""",
    "coupon_id": "SELECT coupon_id FROM coupons WHERE brand_id = :brand_id ORDER BY coupon_id LIMIT 1",
    "run_id": """
        SELECT run_id FROM runs WHERE brand_id = :brand_id
         ORDER BY kind = 'preview' DESC, dry_run DESC, created_at DESC LIMIT 1""",
    "webhook_id": "SELECT webhook_id FROM webhooks WHERE brand_id = :brand_id LIMIT 1",
    "biller_id": "SELECT biller_id FROM billers WHERE brand_id = :brand_id LIMIT 1",
}
#: Pages that only one state of things shows: beside those of the routes.
_STATES = ("find?q=a", "credits?status=live", "memberships?status=active", "audit?action=credit_rule.created")
#: What no brand's page is: files, and what leads on at once.
_ELSEWHERE = ("/console/static/{name}", "/console/link/{token}", "/console/oidc", "/console/oidc/back", "/console")


def routes() -> Iterator[str]:
    """The paths of all pages, as the console's routers have them."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute), "a page"
            if "GET" in (route.methods or ()) and route.path not in _ELSEWHERE:
                yield route.path


def addresses(connection: Connection, brand_id: UUID) -> dict[str, str | None]:
    """Each page's address by its path, with something of the brand in it; None: the brand has nothing of that kind.
    `connection` sees the brand."""
    found: dict[str, str | None] = {}
    known: dict[str, object] = {"brand_id": brand_id}
    for path in routes():
        names = re.findall(r"\{(\w+)\}", path)
        for name in names:
            if name not in known:
                known[name] = connection.scalar(text(EXAMPLES[name]), {"brand_id": brand_id})
        found[path] = None if any(known[name] is None for name in names) else path.format(**known)
    if found.get("/console/{brand_id}/memberships/{membership_id}"):
        found["a cell that is open"] = _opened(connection, brand_id)
    for state in _STATES:
        found[state] = f"/console/{brand_id}/{state}"
    return found


def _opened(connection: Connection, brand_id: UUID) -> str | None:
    row = connection.execute(
        text("""
            SELECT membership_id, credit_rule_id, guest_id, period_start FROM credits
             WHERE brand_id = :brand_id AND credit_rule_id IS NOT NULL ORDER BY credit_id LIMIT 1"""),
        {"brand_id": brand_id},
    ).one_or_none()
    if row is None:
        return None
    cell = f"to={row.period_start:%Y-%m}&why={row.credit_rule_id}.{row.guest_id}.{row.period_start}"
    return f"/console/{brand_id}/memberships/{row.membership_id}?{cell}"
