"""Cut a run's work into batches: ranges of ids of about the same size, kept as their first and last id."""

from issuance import limits

#: Numbers the rows of a statement, each `{size}` memberships, in the order of their ids.
NUMBERED = "CAST(sum({size}) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS integer) - {size} AS nth"
#: The batches of `numbered` (id; size: memberships of this row; nth: memberships before it; total).
BATCHES = """
    SELECT cut AS batch, (array_agg(id ORDER BY nth))[1] AS first_id,
           (array_agg(id ORDER BY nth DESC))[1] AS last_id, max(nth + size) - min(nth) AS size
      FROM (SELECT *, lag(cut) OVER in_order IS DISTINCT FROM cut
                      OR lead(cut) OVER in_order IS DISTINCT FROM cut AS edge
              FROM (SELECT *, nth / least(:batch, greatest(:smallest_batch, total / :fewest_batches)) AS cut
                      FROM numbered) cut
            WINDOW in_order AS (ORDER BY id)) edges
     WHERE edge
     GROUP BY cut
"""


def sizes() -> dict[str, int]:
    """The parameters of BATCHES."""
    bounds = limits.current.settling
    return {
        "batch": bounds.batch,
        "smallest_batch": bounds.smallest_batch,
        "fewest_batches": bounds.fewest_batches,
    }
