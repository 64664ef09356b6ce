"""`./run bench` works: one short run. Its figures mean nothing and are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]


def bench(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "ISSUANCE_HOME": str(home)}
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False, timeout=600)


def test_a_thousand_members_are_measured(tmp_path: Path) -> None:
    """On servers of its own it measures the floors and Issuance, prints one document and leaves nothing behind."""
    done = bench(tmp_path, "--members", "1k", "--rounds", "1", "--only", "floor,bulk,sweep", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["members"] == 1000
    assert {row["name"]: row["n"] for row in told["rows"]} == {
        "floor": 1000,
        "plain_floor": 1000,
        "bulk": 1000,
        "sweep": 50,
    }
    assert all(row["per_second"] > 0 for row in told["rows"])
    assert {"bulk_vs_floor", "bulk_vs_plain_floor"} <= told["ratios"].keys()
    figures = next(row for row in told["rows"] if row["name"] == "bulk")
    assert figures["statements_per_credit"] > 0
    assert figures["wal_bytes_per_credit"] > figures["wal_bytes_without_page_images_per_credit"] > 0
    assert figures["both_bulk_workers_mb"] > 0
    assert not (tmp_path / "benchmarks" / "servers").exists()


def test_an_unknown_part_is_bad_use(tmp_path: Path) -> None:
    """Nothing is started for it; the parts that there are, are named."""
    done = bench(tmp_path, "--only", "weather")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no part weather" in done.stderr
    assert list(tmp_path.iterdir()) == []
