"""Load memberships' facts in a handful of set-based queries, whatever the size of the batch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, TextClause, text

from issuance.deciding.facts import Coupon, Credit, CreditKey, MembershipFacts, Rule, RuleVersion
from issuance.deciding.frequency import BillingFrequency, IssuingFrequency, parse_validity
from issuance.engine.remembering import Fact, read_fact, remember
from issuance.engine.rows import id_array

# The row in dues is the lock: one settling of a membership at a time.
_CHOSEN = "SELECT d.membership_id FROM dues d WHERE d.brand_id = :brand_id AND {which} ORDER BY d.membership_id {lock}"
# All that follows is asked once the dues are locked. Each table is found by its own key, whatever the planner
# believes of sizes: right after an import it knows nothing yet.
_MEMBERSHIPS = text("""
    SELECT m.membership_id, m.membership_type_id, m.member_id, m.signed_up_at, m.starts_on, m.billing_anchor,
           m.billing_frequency, m.status, m.ends_on, d.due_at, d.settled_at,
           (SELECT t.billing = 'automatic' FROM membership_types t
             WHERE (t.brand_id, t.membership_type_id) = (m.brand_id, m.membership_type_id)) AS automatic
      FROM memberships m
      JOIN dues_known d USING (brand_id, membership_id)
     WHERE m.brand_id = :brand_id AND m.membership_id = ANY(:ids)
       AND d.brand_id = :brand_id AND d.membership_id = ANY(:ids)
     ORDER BY m.membership_id
""")
# Facts name people by the brand's ids.
_ARCHIVED = text("""
    SELECT member_id, external_user_id, archived_at FROM members
     WHERE brand_id = :brand_id AND archived_at IS NOT NULL
       AND (member_id = ANY(:members) OR external_user_id = ANY(:named))
""")
_EVENTS = text("""
    SELECT membership_id, source, event_id, type, time, charge_id, data, settled_at IS NULL AS unsettled
      FROM billing_events
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids)
     ORDER BY membership_id, time, source COLLATE "C", event_id COLLATE "C"
""")
_CREDITS = text("""
    SELECT membership_id, credit_id, credit_rule_id, guest_id, period_start, reissue, rule_version, period_end,
           roll_over, multi_use, valid_from, expires_at, validity_ends_at, issued_at, manual, uses, redeemed_at,
           revoked_at, revoked_by, expired_at, flagged_at
      FROM credits
     WHERE brand_id = :brand_id AND membership_id = ANY(:ids)
     ORDER BY membership_id, credit_id
""")
_RULES = text("""
    SELECT v.credit_rule_id, r.deleted_at, v.version, v.created_at, v.membership_type_id, v.coupon_id, v.coupon_name,
           c.coupon_id IS NOT NULL AS coupon_there, c.validity, v.roll_over, v.issue_on_signup, v.multi_use,
           v.for_lead_booker_only, v.issuing_frequency, v.include_upcoming
      FROM rule_versions v
      JOIN credit_rules r USING (brand_id, credit_rule_id)
      LEFT JOIN coupons c USING (brand_id, coupon_id)
     WHERE v.brand_id = :brand_id AND NOT v.deleted
       AND EXISTS (SELECT FROM rule_versions o
                    WHERE (o.brand_id, o.credit_rule_id) = (v.brand_id, v.credit_rule_id)
                      AND o.membership_type_id = ANY(:types))
     ORDER BY v.credit_rule_id, v.version
""")

_RULES_HELD = text(f"{_RULES.text} FOR KEY SHARE OF r")

#: How a batch is chosen and locked.
BY_IDS = text(_CHOSEN.format(which="d.membership_id = ANY(:ids)", lock="FOR UPDATE"))
BY_IDS_UNLOCKED = text(_CHOSEN.format(which="d.membership_id = ANY(:ids)", lock=""))
# Ids of all types lie between each other: a range holds more than are meant.
OF_TYPE_IN_RANGE = text(
    _CHOSEN.format(
        which="d.membership_id BETWEEN :first_id AND :last_id AND d.quarantined_at IS NULL"
        " AND d.membership_id IN (SELECT m.membership_id FROM memberships m WHERE m.brand_id = :brand_id"
        " AND m.membership_id BETWEEN :first_id AND :last_id"
        " AND (CAST(:type AS uuid) IS NULL OR m.membership_type_id = :type)"
        " AND (CAST(:rule AS uuid) IS NULL OR m.membership_type_id IN ("
        "SELECT membership_type_id FROM rule_versions WHERE brand_id = :brand_id AND credit_rule_id = :rule)))",
        lock="FOR UPDATE OF d",
    )
)


@dataclass(slots=True)
class Membership:
    """A membership as it was loaded: its row, all facts about it, known or announced, and its credits."""

    row: Row[Any]
    zone: ZoneInfo
    facts: list[Fact] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    #: Since when its member is archived, on the brand's clock.
    archived_at: datetime | None = None
    #: The same of guests who are members elsewhere.
    archived_guests: dict[UUID, datetime] = field(default_factory=dict)

    @property
    def membership_id(self) -> UUID:
        return self.row.membership_id  # type: ignore[no-any-return]

    @property
    def due_at(self) -> datetime | None:
        return self.row.due_at  # type: ignore[no-any-return]

    @property
    def settled_at(self) -> datetime | None:
        return self.row.settled_at  # type: ignore[no-any-return]

    @property
    def party(self) -> list[dict[str, Any]]:
        """The guests as they were signed up, in their places."""
        guests: list[dict[str, Any]] = next(f for f in self.facts if f.type == "membership.signed_up").data["guests"]
        return guests

    def named_guests(self) -> dict[UUID, str]:
        """Who the guests are that are members themselves: external user ids, as the latest fact says."""
        guests = (guest for fact in self.facts for guest in fact.data.get("guests", ()))
        return {UUID(guest["guest_id"]): name for guest in guests if (name := guest.get("external_user_id"))}

    def has_news(self, now: datetime) -> bool:
        """Whether a fact arrived, or one that was announced happened, since the last settling."""
        settled_at = self.settled_at
        return settled_at is None or any(fact.unsettled or settled_at < fact.order.time <= now for fact in self.facts)

    def facts_at(self, now: datetime, out: Sequence[Credit]) -> MembershipFacts:
        """What had happened by `now`, with the credits that are out then."""
        row = self.row
        remembered = remember([fact for fact in self.facts if fact.order.time <= now])
        ahead = [fact.order.time for fact in self.facts if fact.order.time > now]
        archived = self.archived_at is not None and self.archived_at <= now
        return MembershipFacts(
            membership_id=row.membership_id,
            membership_type_id=row.membership_type_id,
            zone=self.zone,
            automatic=row.automatic,
            signed_up_at=row.signed_up_at,
            starts_on=row.starts_on,
            billing_anchor=row.billing_anchor,
            billing_frequency=BillingFrequency(row.billing_frequency),
            signup_party=remembered.signup_party,
            moves=tuple((at, anchor) for at, anchor in remembered.moves if anchor >= row.starts_on),
            statuses=remembered.statuses,
            charges=remembered.charges,
            parties=remembered.parties,
            member_archived_at=self.archived_at if archived else None,
            archived_guests=frozenset(guest_id for guest_id, at in self.archived_guests.items() if at <= now),
            credits=tuple(out),
            next_fact_at=min([*ahead, *([row.signed_up_at] if row.signed_up_at > now else [])], default=None),
        )


def load(
    connection: Connection, brand_id: UUID, zone: ZoneInfo, chosen: TextClause, **which: object
) -> list[Membership]:
    """The memberships that `chosen` (BY_IDS, OF_TYPE_IN_RANGE, …) finds, with all their facts, ordered by id."""
    found = list(connection.scalars(chosen, {"brand_id": brand_id, **which}))
    ids = {"brand_id": brand_id, "ids": id_array(found)}
    loaded: dict[UUID, Membership] = {}
    if found:
        for row in connection.execute(_MEMBERSHIPS, ids).all():
            loaded[row.membership_id] = Membership(row, zone)
        for event in connection.execute(_EVENTS, ids).all():
            loaded[event.membership_id].facts.append(read_fact(event))
        _tell_archived(connection, brand_id, loaded.values())
        for row in connection.execute(_CREDITS, ids).all():
            loaded[row.membership_id].credits.append(_credit(row))
    return list(loaded.values())


def _tell_archived(connection: Connection, brand_id: UUID, memberships: Collection[Membership]) -> None:
    """Say of memberships whose member is archived, or a guest that their facts name, be it for the first time."""
    named = [membership.named_guests() for membership in memberships]
    members = {membership.row.member_id for membership in memberships}
    names = {name for of_one in named for name in of_one.values()}
    which = {"brand_id": brand_id, "members": list(members), "named": list(names)}
    found = connection.execute(_ARCHIVED, which).all()
    if found:
        by_id = {row.member_id: row.archived_at for row in found}
        by_name = {row.external_user_id: row.archived_at for row in found}
        for membership, of_one in zip(memberships, named, strict=True):
            membership.archived_at = by_id.get(membership.row.member_id)
            membership.archived_guests = {
                guest_id: by_name[name] for guest_id, name in of_one.items() if name in by_name
            }


def load_rules(
    connection: Connection, brand_id: UUID, memberships: Sequence[Membership], *, hold: bool
) -> dict[UUID, list[Rule]]:
    """The rules any version of which is for a membership type, deleted ones too, by type.

    `hold` keeps them from being changed until the transaction ends: no work under way outruns a deletion.
    """
    types = {membership.row.membership_type_id for membership in memberships}
    versions: dict[UUID, list[RuleVersion]] = {}
    deleted: dict[UUID, datetime | None] = {}
    for row in connection.execute(_RULES_HELD if hold else _RULES, {"brand_id": brand_id, "types": list(types)}):
        versions.setdefault(row.credit_rule_id, []).append(_version(row))
        deleted[row.credit_rule_id] = row.deleted_at
    rules = [Rule(rule_id, tuple(found), deleted[rule_id]) for rule_id, found in versions.items()]
    return {
        type_id: [rule for rule in rules if any(version.membership_type_id == type_id for version in rule.versions)]
        for type_id in types
    }


def _version(row: Row[Any]) -> RuleVersion:
    coupon = Coupon(row.coupon_id, None if row.validity is None else parse_validity(row.validity))
    return RuleVersion(
        version=row.version,
        created_at=row.created_at,
        membership_type_id=row.membership_type_id,
        coupon_id=row.coupon_id,
        coupon_name=row.coupon_name,
        coupon=coupon if row.coupon_there else None,
        roll_over=row.roll_over,
        issue_on_signup=row.issue_on_signup,
        multi_use=row.multi_use,
        for_lead_booker_only=row.for_lead_booker_only,
        frequency=IssuingFrequency(row.issuing_frequency),
        include_upcoming=row.include_upcoming,
    )


def _credit(row: Row[Any]) -> Credit:
    columns: tuple[Any, ...] = tuple(row)  # the membership, then the fields of Credit in their order
    return Credit(columns[1], CreditKey(*columns[2:6]), *columns[6:])
