"""What bounds the work, in one place: sizes, numbers and patience, by the room that they are for.

They are read when they are needed, `limits.current.settling.batch`, and never when a module is imported. Tests and
campaigns put others in their place (`campaigns/limited.py`). What an operator may choose is a setting instead.
"""

from typing import NamedTuple


class Settling(NamedTuple):
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
    credits: int = 5_000
    #: Credits of a membership: one that has so many is given no more, as each settling would look through all of them
    #: (docs/decisions).
    credits_ever: int = 50_000
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


class Runs(NamedTuple):
    #: Memberships a batch of a run that only looks: their rows are in memory at once.
    looked_at: int = 1000
    #: The most rows that a batch keeps of a plan: of any reason, and of credits to issue. The rest is only counted.
    plan_rows: int = 50_000
    plan_credits: int = 200_000


class Hints(NamedTuple):
    #: At most so many memberships in one message, so that a slow message delays few of them.
    memberships: int = 250
    #: At most so many hints are sent for one run at once, so that the runs of all brands alternate in the queue. A
    #: worker asks for more when its time slice is over.
    of_a_run: int = 8
    #: The scheduler asks for no run while so many hints wait for runs: each of them has a worker look who comes first.
    waiting_for_runs: int = 400
    #: Seconds for which nobody waits for a broker that has just not answered. The scheduler asks again.
    left_alone: float = 3.0


class Intake(NamedTuple):
    #: No event of a file is longer than this, in bytes.
    longest_event: int = 4 * 1024 * 1024
    #: Bytes of a file that are read at once.
    chunk: int = 256 * 1024
    #: Refused events that are kept of a brand: for one more the oldest goes.
    refused_kept: int = 10_000


class Billers(NamedTuple):
    #: The most requests a second to Stripe: a quarter of what it allows in test mode, which leaves room for others.
    asked_a_second: int = 20
    #: The most seconds to wait between two tries.
    longest_rest: float = 20.0
    #: Objects of a page: as many as Stripe gives.
    page: int = 100
    #: The most bytes of an answer of Stripe's, some times what a page of its longest objects takes.
    longest_answer: int = 20_000_000
    #: Bytes of deliveries that are claimed together; one delivery may have more.
    claimed_bytes: int = 2_000_000
    #: Characters and values of the facts that one transaction tells. A batch that tells more is halved, and a single
    #: delivery that tells more is set apart.
    told: int = 2_000_000
    #: How many reasons why something is not translated are shown of a brand.
    reasons: int = 500
    #: About how many bytes of a brand's webhooks may be set aside: they are not translated, and will not be without
    #: help.
    set_aside: int = 2_000_000_000


class Webhooks(NamedTuple):
    #: How many deliveries of a webhook that goes are forgotten at once: a second's work.
    forgotten: int = 10_000
    #: How many deliveries that were finished long ago one transaction forgets, however many fall due at once.
    tidied: int = 50_000
    #: Bytes within which a receiver has said a status and headers, interim answers (1xx) too.
    longest_head: int = 64 * 1024


class Catalog(NamedTuple):
    #: A type has so many rules, deleted ones too, and a rule so many versions: each settling looks at all of them.
    rules: int = 200
    versions: int = 1000
    #: All rules of a brand have so many versions: a membership may have been of all of its types.
    versions_of_all: int = 10_000


class Corrections(NamedTuple):
    #: The most corrections that one transaction makes, and within how many seconds, if it is bounded.
    at_once: int = 1000
    seconds: float = 20.0


class Members(NamedTuple):
    #: The orders and credits of a member who is archived, if it is bounded.
    archived_orders: int = 1_000
    archived_credits: int = 2_000
    #: What a bounded export holds: rows of all kinds, and bytes of them as texts.
    exported_rows: int = 10_000
    exported_bytes: int = 4_000_000
    #: Facts of all the orders that name a member who is forgotten, and their bytes as JSON, if it is bounded.
    erased_facts: int = 10_000
    erased_bytes: int = 20_000_000
    #: How many bytes of names and addresses are made into words at a time, some hundredths of a second's work; and how
    #: many guests one statement looks at for it.
    words_bytes: int = 50_000
    words_guests: int = 1_000


class Reports(NamedTuple):
    #: Rows of a liability that is bounded, and sums that are read for it: a row adds up some of them.
    liability_rows: int = 8_000
    liability_sums: int = 50_000
    #: Minutes that the work may be late before it counts as left lying. Far above what a busy bulk run takes.
    late_minutes: int = 10


class Console(NamedTuple):
    #: How many choices are offered, beside those that are chosen. If a brand has more, the API names the others.
    choices: int = 2000
    #: The most rows of a file, and how many short ones are read at once for it.
    rows_in_a_file: int = 100_000
    rows_at_once: int = 5000
    #: Refused events that are read at once for a file: each may be long.
    refused_at_once: int = 200
    #: How many guests of an order a search looks at: those who are on it come first, then those who joined last.
    guests_looked_at: int = 1000
    #: Seconds for which a page waits for counts.
    patience: float = 0.15
    #: The most rows of all counts that are kept; a row takes about a kilobyte.
    counted_rows: int = 30_000


class Callers(NamedTuple):
    #: Seconds of a window, for which a rate limit counts. Windows begin with the minute.
    window: int = 60
    #: The same where bytes are counted; these begin at midnight (UTC).
    day: int = 86_400
    #: Seconds for which the broker may take to answer, and for which it is left alone if it does not.
    patience: float = 0.25
    left_alone: float = 2.0
    #: The most good keys of a brand, and the most keys that are listed: of refused keys the latest.
    keys: int = 500
    keys_listed: int = 1000
    #: Seconds for which a key is believed to be as it was; with the time of a request, a revocation is heard within a
    #: second.
    believed: float = 0.75
    #: The most people who have a role in a brand.
    people: int = 1000


class Doors(NamedTuple):
    #: Seconds within which a request's headers must have come, counted from the beginning of the connection or from
    #: the last answer.
    header_seconds: float = 10.0
    #: Seconds within which a body must have come.
    body_seconds: float = 30.0
    #: Seconds for which a client may take nothing of its answer.
    answer_seconds: float = 30.0
    #: The most parts of a chunked body: each costs more than its bytes.
    chunks: int = 20_000
    #: Seconds for which a request with a long body surely keeps its place.
    place_seconds: float = 1.0
    #: The most bytes of answers that wait in a process until clients take them, of all sources and of one: a few of the
    #: longest.
    untaken: int = 64 * 1024 * 1024
    untaken_of_a_source: int = 32 * 1024 * 1024
    #: The most bytes of an answer.
    longest_answer: int = 4_000_000
    #: Lines a second of each kind of what is refused by a limit.
    lines_a_second: int = 10
    #: Seconds after SIGTERM until requests are refused, until half-sent ones are cut off, and until all others must
    #: have ended.
    last_words: float = 1.0
    half_sent: float = 2.0
    grace: float = 8.0


class Database(NamedTuple):
    #: How long a statement of what only reads may take, as PostgreSQL reads it: nothing would be lost, and nobody may
    #: be there any more to read the answer.
    read_timeout: str = "30s"
    #: Seconds after a refusal for which the disk counts as full.
    full_for: float = 15.0
    #: Seconds after which a connection that nobody has used is closed. Making one costs more than most requests do; and
    #: one that is kept for nothing may be the one that another process lacks.
    idle: float = 10.0
    #: Seconds for which one who needs a connection waits for the server to have one left.
    patience_with_server: float = 10.0
    #: How far a long list is counted, in rows.
    counted: int = 10_000
    #: Rows that one transaction of tidying deletes: a second's work, also where each is long.
    tidied: int = 5_000
    #: Rows of a list that is read from its first row to its last, which are in memory together.
    rows_at_once: int = 200


class Upgrades(NamedTuple):
    #: Seconds between two turns at a lock, while nobody ends who may hold it: at first, and at last.
    first_pause: float = 0.2
    last_pause: float = 5.0
    #: Rows of a batch: of the first, of the smallest and of the largest.
    first_batch: int = 1_000
    least_batch: int = 100
    most_batch: int = 20_000


class Embedded(NamedTuple):
    """`./run`."""

    #: Seconds that a command has, which uses the home for a moment.
    moment: float = 10.0
    #: Bytes after which a log is put aside; the one before it is then forgotten.
    longest_log: int = 50_000_000


class Limits(NamedTuple):
    settling: Settling = Settling()
    runs: Runs = Runs()
    hints: Hints = Hints()
    intake: Intake = Intake()
    billers: Billers = Billers()
    webhooks: Webhooks = Webhooks()
    catalog: Catalog = Catalog()
    corrections: Corrections = Corrections()
    members: Members = Members()
    reports: Reports = Reports()
    console: Console = Console()
    callers: Callers = Callers()
    doors: Doors = Doors()
    database: Database = Database()
    upgrades: Upgrades = Upgrades()
    embedded: Embedded = Embedded()


current = Limits()
