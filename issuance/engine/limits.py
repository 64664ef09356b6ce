"""The sizes and bounds of settling. Tests replace `current`."""

from dataclasses import dataclass

from issuance.deciding.settlement import MOST_CREDITS


@dataclass(frozen=True, slots=True)
class Limits:
    #: Memberships a batch at most: large enough for set-based statements, small enough to be lost cheaply.
    batch: int = 5000
    #: A smaller run is still cut into so many batches, so that all workers have some …
    fewest_batches: int = 16
    #: … but into none smaller than this.
    smallest_batch: int = 500
    #: Memberships in a part of a batch that failed as a whole: most parts do succeed, and quickly.
    part: int = 50
    #: Memberships whose facts are in memory at once.
    loaded: int = 1000
    #: Fewer memberships with one fingerprint form no group: loading each of them costs no more.
    fewest_alike: int = 4
    #: How many of a group are loaded, at the first, second and third try, to find one that still has its fingerprint.
    looked_at: tuple[int, ...] = (1, 4, 16)
    #: Fewer memberships than these do not share a schedule.
    fewest_sharing: int = 20
    #: Instants a settling decides at while a clock is being moved; a membership with more ahead stays due.
    instants: int = 6
    #: Credits that one settling of a membership issues; one that is owed more stays due.
    credits: int = MOST_CREDITS
    #: Credits that one transaction of a sweep issues, to all memberships together; those that are left stay due.
    issued: int = 100_000
    #: The same of one after events, which somebody waits for.
    issued_soon: int = 20_000
    #: Credits that a sweep issues to groups at once, which costs little; groups that are owed more are settled one by
    #: one.
    issued_alike: int = 500_000
    #: Credits that are in memory at once, of several memberships; one that has more is loaded alone.
    loaded_credits: int = 50_000
    #: Facts of one membership, all of which each decision reads; it is quarantined beyond, and read no more.
    facts: int = 10_000
    #: Facts in memory at once, over all memberships.
    loaded_facts: int = 100_000
    #: Bytes of facts, as JSON, that are in memory at once, of one membership or of several; one that has more is
    #: quarantined, as where it has too many facts.
    loaded_bytes: int = 20_000_000
    #: News of more bytes, and what is beyond so many pieces at once, is not compared as it came: who has it is loaded.
    news_bytes: int = 2_000
    news: int = 20_000
    #: Facts allowed a membership on average, where they were not counted first.
    facts_each: int = 1000
    #: A membership with at most so many credits is loaded whole: that costs less than to ask what can be left out.
    short: int = 200
    #: How much of one membership is foretold (`deciding.forecast.size`).
    foretold: int = 200_000
    #: Attempts to settle a membership before it is quarantined.
    attempts: int = 5
    #: After so many attempts a membership is settled alone, so that it takes nobody with it into quarantine.
    attempts_together: int = 2


current = Limits()
