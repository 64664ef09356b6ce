"""Profiles: a member's name, tier and e-mail address, and what the brand keeps with them (SEMANTICS 12)."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import to_json

from issuance.fields import CamelBody, DisplayName, Email, PlainObject, Tier

#: How many bytes of JSON a member's attributes may be.
MOST_ATTRIBUTES = 16 * 1024


def _bounded(attributes: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(attributes)) > MOST_ATTRIBUTES:
        raise ValueError(f"must be at most {MOST_ATTRIBUTES} bytes of JSON")
    return attributes


class MemberProfile(CamelBody):
    """What a member is called and counted as. A field that is not named stays as it is; null clears it."""

    display_name: DisplayName | None = None
    tier: Tier | None = Field(None, description="Any word of yours, such as gold")
    email: Email | None = None


class MemberBody(MemberProfile):
    """A member's profile, with whatever else the brand wants to keep beside it."""

    attributes: Annotated[PlainObject, AfterValidator(_bounded)] | None = Field(
        None, description="Any JSON object of at most 16 kB; kept as it is"
    )
