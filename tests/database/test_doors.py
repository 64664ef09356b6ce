"""A share of the campaign: every route, with the largest input that it accepts, keeps to its bounds."""

from campaigns.doors.walk import WAIT, walk
from issuance.api.app import create_app
from issuance.settings import Settings


def test_every_route_keeps_to_its_bounds_with_the_largest_input(database_url: str, redis_url: str) -> None:
    """None answers more, none grows the process, none breaks; one that is new is walked through by itself."""
    given = Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    walked = walk(given, crowd=100, coupons=20)
    assert walked.offences == []
    operations = [one for path in create_app(given).openapi()["paths"].values() for one in path.values()]
    assert walked.routes == {one["operationId"] for one in operations} - WAIT
