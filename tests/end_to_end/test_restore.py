"""The restore drill of docs/operations.md (`./run python -m campaigns.restore`)."""

from pathlib import Path

from campaigns.restore.drill import Drill


def test_what_was_lost_comes_back(tmp_path: Path, redis_url: str) -> None:
    """From a base backup and a log that was followed, all of it; up to an instant, and from a dump: with the biller's
    file loaded again the same credits live, a second load takes in nothing, and every law holds."""
    said: list[str] = []
    drill = Drill(tmp_path, redis_url, members=10, say=said.append)
    try:
        drill.run()
    finally:
        drill.stop()
    assert len([line for line in said if line.endswith("every law holds")]) == 2
    assert len([line for line in said if line.endswith("nothing is lost")]) == 1
