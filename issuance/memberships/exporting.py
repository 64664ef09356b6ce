"""Exporting: all that is held about a member, as one JSON document (SEMANTICS 20).

Other people's personal data is not in it.
"""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from issuance import limits
from issuance.credits import holders
from issuance.engine.event_facts import in_order, named_by
from issuance.errors import Invalid
from issuance.members import members, redemptions, wallets
from issuance.members.names import folded
from issuance.memberships import kept_texts
from issuance.memberships.entries import Entry, Theirs
from issuance.memberships.memberships import LONGEST_REF
from issuance.memberships.mentions import shared_ids

#: Takes the place of their names, to see whether something names them.
_THEM = "\0"


class TooMuchToExport(Invalid):
    """More is held about this member than an answer has room for: use the command line, which has no limit."""

    code = "too_much_to_export"


_MEMBER = text("""
    SELECT external_user_id, display_name, email, tier, attributes, joined_at, updated_at, archived_at, returned_at,
           erased_at
      FROM members WHERE brand_id = :brand_id AND member_id = :member_id
""")
# Whether they hold a credit now. A former holder is shown no code: it is another's.
_HOLDS = """(coalesce(t.member_id, CASE WHEN t.transfer_id IS NULL THEN g.member_id ELSE h.member_id END)
                IS NOT DISTINCT FROM CAST(:member_id AS uuid))"""
#: What is theirs, by the name that the document has for it. These rows are about them alone, and have no more of others
#: than an id.
_THEIRS = {
    "memberships": text(f"""
        SELECT m.membership_id AS id, m.membership_type_id, t.name AS membership_type_name, m.status, m.signed_up_at,
               m.starts_on, m.billing_anchor, m.billing_frequency, m.ends_on,
               left(b.source_ref, {LONGEST_REF}) AS source_ref
          FROM memberships m JOIN membership_types t USING (brand_id, membership_type_id)
          LEFT JOIN biller_memberships b USING (brand_id, membership_id)
         WHERE m.brand_id = :brand_id AND m.member_id = :member_id ORDER BY m.membership_id LIMIT :most
    """),
    "charges": text("""
        SELECT c.membership_id, c.charge_id, c.state, c.period_start, c.period_end, c.amount, c.amount_refunded
          FROM charges c JOIN memberships m USING (brand_id, membership_id)
         WHERE m.brand_id = :brand_id AND m.member_id = :member_id
         ORDER BY c.membership_id, c.period_start, c.charge_id LIMIT :most
    """),
    "guest_of": text("""
        SELECT membership_id, guest_id, name, email, lead_booker, removed_at
          FROM guests WHERE brand_id = :brand_id AND member_id = :member_id ORDER BY membership_id, guest_id LIMIT :most
    """),
    "credits": text(f"""
        SELECT c.credit_id AS id, CASE WHEN {_HOLDS} THEN c.code END AS code, c.credit_rule_id, c.rule_version,
               c.membership_id, c.guest_id, c.coupon_id, c.coupon_name, c.period_start, c.period_end, c.reissue,
               c.valid_from, c.expires_at, c.multi_use,
               c.max_uses, c.uses, c.issued_at, c.redeemed_at, c.revoked_at, c.revoked_by, c.revoked_reason,
               c.expired_at, c.extended_at, c.flagged_at, c.run_id,
               {_HOLDS} AS holds
          FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)
          LEFT JOIN transfers t USING (brand_id, transfer_id)
          LEFT JOIN guests h ON (h.brand_id, h.membership_id, h.guest_id) = (t.brand_id, t.membership_id, t.guest_id)
         WHERE c.brand_id = :brand_id
           AND c.credit_id IN (
               SELECT credit_id FROM credits JOIN guests USING (brand_id, membership_id, guest_id)
                WHERE brand_id = :brand_id AND member_id = :member_id
                UNION
               {holders.RECEIVED})
         ORDER BY c.credit_id LIMIT :most
    """),
    "held_credits": text("""
        SELECT h.membership_id, h.credit_rule_id, h.period_start, h.reissue, h.held_at, h.state
          FROM held_credits h JOIN guests g USING (brand_id, membership_id, guest_id)
         WHERE h.brand_id = :brand_id AND g.member_id = :member_id ORDER BY 1, 2, 3, 4 LIMIT :most
    """),
    "transfers": text(f"""
        SELECT transfer_id AS id, credit_id, transferred_at,
               coalesce(t.member_id, g.member_id) IS NOT DISTINCT FROM CAST(:member_id AS uuid) AS received
          FROM transfers t LEFT JOIN guests g USING (brand_id, membership_id, guest_id)
         WHERE t.brand_id = :brand_id
           AND t.credit_id IN (
               SELECT credit_id FROM credits JOIN guests USING (brand_id, membership_id, guest_id)
                WHERE brand_id = :brand_id AND member_id = :member_id
                UNION
               {holders.RECEIVED})
         ORDER BY transfer_id LIMIT :most
    """),
    "redemptions": text("""
        SELECT redemption_id AS id, status, offer, offer_id, credit_id, points, reference, start_at, end_at, created_at,
               updated_at
          FROM redemptions WHERE brand_id = :brand_id AND member_id = :member_id ORDER BY redemption_id LIMIT :most
    """),
    "transactions": text("""
        SELECT entry_id AS id, type, amount, reason, redemption_id, created_at,
               coalesce(actor ->> 'kind', 'system') AS actor
          FROM ledger_entries WHERE brand_id = :brand_id AND member_id = :member_id
         ORDER BY created_at, entry_id LIMIT :most
    """),
    "audit": text("""
        SELECT entry_id AS id, at, brand_time, action, reason, before, after
          FROM audit_entries WHERE brand_id = :brand_id AND subject_id = CAST(CAST(:member_id AS uuid) AS text)
         ORDER BY entry_id LIMIT :most
    """),
    "done": text("""
        SELECT entry_id AS id, at, brand_time, action, subject_id, reason, before, after
          FROM audit_entries
         WHERE brand_id = :brand_id AND actor ->> 'kind' = 'member'
           AND actor ->> 'id' = CAST(CAST(:member_id AS uuid) AS text)
         ORDER BY entry_id LIMIT :most
    """),
}
# Facts of their memberships, and lists of guests that name them.
_FROM_FACTS = """
      FROM billing_events e JOIN memberships m USING (brand_id, membership_id)
     WHERE e.brand_id = :brand_id
       AND (m.member_id = :member_id
            OR (e.type IN ('membership.signed_up', 'membership.guests_changed')
                AND e.membership_id IN (SELECT membership_id FROM guests
                                         WHERE brand_id = :brand_id AND member_id = :member_id)))
"""
_FACTS = text(f"""
    SELECT e.source, e.event_id AS id, e.type, e.time, e.membership_id, e.charge_id, e.data, e.unknown_fields,
           e.received_at, m.member_id = :member_id AS own
    {_FROM_FACTS}
     ORDER BY e.membership_id, e.time, e.source, e.event_id LIMIT :most
""")
_TOLD = text("""
    SELECT event_id AS id, type, occurred_at, data FROM webhook_events
     WHERE brand_id = :brand_id
       AND (data ->> 'externalUserID' = :named OR data -> 'holder' ->> 'external_user_id' = :named
            OR (data -> 'guest' ->> 'external_user_id' = :named AND NOT data ? 'holder'))
     ORDER BY event_id LIMIT :most
""")

# How many bytes a statement would give: asked before it is run.
_SIZE = {
    statement: text(f"""
        SELECT coalesce(sum(octet_length(CAST(held AS text))), 0) FROM ({statement.text}) AS held
    """)
    for statement in (*_THEIRS.values(), _FACTS, _TOLD)
}


def export(connection: Connection, brand_id: UUID, external_user_id: str, *, bounded: bool = False) -> dict[str, Any]:
    """All that is held about a member, archived or erased too. Raises MemberNotFound; `bounded`: TooMuchToExport."""
    member_id = members.id_of(connection, brand_id, external_user_id)
    parameters: dict[str, Any] = {"brand_id": brand_id, "member_id": member_id, "named": external_user_id, "most": None}
    left = limits.current.members.exported_bytes
    if bounded:
        parameters["most"] = limits.current.members.exported_rows + 1

    def take(rows: int, size: int) -> None:
        nonlocal left
        if bounded:
            left -= size
            parameters["most"] -= rows
            if left < 0 or parameters["most"] <= 0:
                raise TooMuchToExport

    def read(statement: TextClause) -> list[dict[str, Any]]:
        if bounded:
            take(0, connection.execute(_SIZE[statement], parameters).scalar_one())
        rows = [dict(row) for row in connection.execute(statement, parameters).mappings()]
        take(len(rows), 0)
        return rows

    profile = dict(connection.execute(_MEMBER, parameters).mappings().one())
    theirs = {name: read(statement) for name, statement in _THEIRS.items()}
    facts = read(_FACTS)
    heard = Theirs(external_user_id, {folded(one) for one in (profile["email"],) if one})
    places = _places(facts, heard)
    for number, fact in enumerate(facts):
        own, at = fact.pop("own"), places.get(number, [])
        fact["data"] = _only_theirs(fact["data"], at, own=own)
        fact["unknown_fields"] = _said_of_them(fact["unknown_fields"], at, own=own)
    told = read(_TOLD)
    for event in told:
        if event["data"].get("holder") and event["data"].get("guest", {}).get("external_user_id") != external_user_id:
            event["data"] = {name: value for name, value in event["data"].items() if name != "guest"}
    called = profile["display_name"], *(guest["name"] for guest in theirs["guest_of"])
    names = heard.names(_THEM, *called, shared=shared_ids(connection, brand_id, heard))
    kept: dict[str, list[dict[str, Any]]] = {place: [] for place in kept_texts.EXPORTED}
    for place, column in kept_texts.EXPORTED.items():
        for row in kept_texts.exported(connection, brand_id, names, column):
            take(1, len(json.dumps(row["said"])))
            kept[place].append(row)
    return {
        "member": {"id": member_id, **profile},
        "wallet": wallets.read(connection, brand_id, external_user_id),
        "redemption_counts": redemptions.counts(connection, brand_id, external_user_id),
        **theirs,
        "facts": facts,
        "told": told,
        **kept,
    }


def _places(facts: Sequence[dict[str, Any]], heard: Theirs) -> dict[int, list[int]]:
    """By the number of a fact, which entries of its list of guests are theirs: as erasing finds them."""
    orders: dict[UUID, list[Any]] = {}
    for number, fact in enumerate(facts):
        if "guests" in fact["data"]:
            event = SimpleNamespace(number=number, event_id=fact["id"], **fact)
            orders.setdefault(fact["membership_id"], []).append(event)
    entries: list[tuple[int, int, Entry]] = []
    for membership_id, events in orders.items():
        events.sort(key=in_order)
        for event, listed in ((events[place], listed) for place, listed in named_by(membership_id, events).items()):
            pairs = enumerate(zip(listed, event.data["guests"], strict=True))
            entries += [(event.number, place, (membership_id, who, guest)) for place, (who, guest) in pairs]
    heard.learn([entry for _, _, entry in entries])
    found: dict[int, list[int]] = {}
    for number, place, entry in entries:
        if heard.include(*entry):
            found.setdefault(number, []).append(place)
    return found


def _only_theirs(data: dict[str, Any], places: list[int], *, own: bool) -> dict[str, Any]:
    """What a fact says, with no guests except them: the entries at these places."""
    data = dict(data)
    if not own:
        data.pop("external_user_id", None)
    if "guests" in data:
        data["guests"] = [data["guests"][place] for place in places]
    return data


def _said_of_them(unknown: dict[str, Any] | None, places: list[int], *, own: bool) -> dict[str, Any] | None:
    """The fields of a fact that are not understood; of those about guests, only theirs."""
    if unknown is None:
        return None
    prefixes = tuple(f"guests.{place}." for place in places)
    kept = {
        name: value
        for name, value in unknown.items()
        if (name.startswith(prefixes) if name.startswith("guests.") else own)
    }
    return kept or None
