"""What all of /v1 has in common: objects in camelCase, lists by cursor (INTERFACE 7)."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.convertors import PathConvertor, register_url_convertor

from issuance.database.cursors import LONGEST_LIMIT, PATTERN
from issuance.fields import IN_DIGITS, SHOWN_PATTERN, Identifier, camel

Limit = Annotated[int, Field(ge=1, le=LONGEST_LIMIT), IN_DIGITS, Query(description="How many at most")]
Cursor = Annotated[str | None, Query(pattern=PATTERN, description="The nextCursor of the page before")]


class _Id(PathConvertor):
    """The rest of a path, like `path`, and also with line breaks, even at its end: an id may contain them."""

    regex = "(?s:.*)"


register_url_convertor("id", _Id())

#: In paths `{externalUserID:id}`: an id may contain slashes. A malformed one is an unknown one.
MemberId = Annotated[
    str,
    Path(
        alias="externalUserID",
        description="The member, as you know them: 1 to 255 characters",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": SHOWN_PATTERN},
        examples=["user_42"],
    ),
]
About = Annotated[
    Identifier | None,
    Query(alias="externalUserID", description="The member; with a member token it can only be its own"),
]


class CamelModel(BaseModel):
    """An object in an answer, made from a dict in snake_case."""

    model_config = ConfigDict(alias_generator=camel, validate_by_name=True, validate_by_alias=True)
