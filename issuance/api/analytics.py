"""`/v1/analytics`, and `/customers/credits/timeseries`: what became of points and credits."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from issuance.api.callers import Reader
from issuance.api.camel import CamelModel
from issuance.api.problems import documented
from issuance.api.routes import KeyedRoute
from issuance.fields import DAYS, INSTANTS, date_or_instant
from issuance.members import analytics
from issuance.members.analytics import Interval, Window

router = APIRouter(tags=["analytics"], route_class=KeyedRoute, responses=documented(401, 403, 422))

_Moment = Annotated[
    date | datetime,
    BeforeValidator(date_or_instant),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time", "pattern": INSTANTS},
                {"type": "string", "format": "date", "pattern": f"{DAYS}$"},
            ]
        }
    ),
]
First = Annotated[_Moment, Query(alias="from", description="An instant, or a date: from its midnight for the brand")]
Last = Annotated[_Moment, Query(alias="to", description="An instant, exclusive, or a date, inclusive")]
BucketLength = Annotated[Interval, Query(description="Days, weeks from Monday or months, in the brand's time zone")]


class RedemptionTotals(BaseModel):
    """How many redemptions have each status, by the statuses' names as the reference writes them here."""

    submitted: int
    open: int
    awaiting_vendor: int
    awaiting_customer: int
    purchased: int
    completed: int
    canceled: int
    total: int


class AnalyticsSummary(CamelModel):
    member_count: int = Field(description="Members that are not archived")
    points_minted: int
    points_spent: int = Field(description="Less what was refunded")
    completion_rate: float = Field(description="The share of all redemptions that are COMPLETED: 0 to 1")
    redemptions: RedemptionTotals


class OfferAnalytics(CamelModel):
    """What became of an offer of the brand's, of all credits of a coupon, or of what was else named as an offer."""

    offer_id: str = Field(alias="offerId", description="The offer's id, the coupon's, or the word that was given")
    signups: int = Field(description="All redemptions of it")
    completions: int
    cancellations: int
    points_spent: int = Field(description="Less what was refunded")


class OffersAnalytics(CamelModel):
    offers: list[OfferAnalytics]


class PointsBucket(CamelModel):
    start_time: datetime
    end_time: datetime
    points_minted: int
    points_spent: int
    signups: int = Field(description="Members that were new")


class PointsSeries(CamelModel):
    buckets: list[PointsBucket]


class CreditsBucket(BaseModel):
    start_time: datetime
    end_time: datetime
    issued: int
    redeemed: int = Field(description="Uses, but for those that were canceled")
    expired: int = Field(description="Unused")


class CreditsSeries(BaseModel):
    buckets: list[CreditsBucket]


@router.get("/v1/analytics/summary", operation_id="analyticsSummary", response_model=AnalyticsSummary)
def get_analytics_summary(caller: Reader) -> Any:
    """Totals of members, points and redemptions."""
    with caller.transaction() as connection:
        return analytics.summary(connection, caller.brand_id)


@router.get("/v1/analytics/offers", operation_id="analyticsOffers", response_model=OffersAnalytics)
def get_analytics_offers(caller: Reader) -> Any:
    """What became of each offer, the most booked first: at most 1000."""
    with caller.transaction() as connection:
        return {"offers": analytics.by_offer(connection, caller.brand_id)}


@router.get("/v1/analytics/timeseries", operation_id="analyticsTimeseries", response_model=PointsSeries)
def get_analytics_timeseries(caller: Reader, first: First, last: Last, interval: BucketLength = "day") -> Any:
    """Points and new members by day, week or month: at most 1000 buckets."""
    with caller.transaction() as connection:
        return {"buckets": analytics.points(connection, caller.brand_id, Window(first, last, interval))}


@router.get("/customers/credits/timeseries", operation_id="getCreditsTimeseries", response_model=CreditsSeries)
def get_credits_timeseries(caller: Reader, first: First, last: Last, interval: BucketLength = "day") -> Any:
    """Credits issued, redeemed and expired by day, week or month: at most 1000 buckets."""
    with caller.transaction() as connection:
        return {"buckets": analytics.credits(connection, caller.brand_id, Window(first, last, interval))}
