"""`./run bench` works: one short run. Its figures mean nothing and are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


def bench(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "ISSUANCE_HOME": str(home)}
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False, timeout=1500)


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
        "many_brands": 10,
    }
    assert all(row["per_second"] > 0 for row in told["rows"])
    assert {"bulk_vs_floor", "bulk_vs_plain_floor"} <= told["ratios"].keys()
    figures = next(row for row in told["rows"] if row["name"] == "bulk")
    assert figures["statements_per_credit"] > 0
    assert figures["wal_bytes_per_credit"] > figures["wal_bytes_without_page_images_per_credit"] > 0
    assert figures["both_bulk_workers_mb"] > 0
    assert not (tmp_path / "benchmarks" / "servers").exists()


def test_two_commits_are_measured_in_one_run(tmp_path: Path) -> None:
    """`--against` measures the commit's own processes on a database of its own, and tells the ratio of each part."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, check=False).returncode != 0:
        pytest.skip("this is no clone: there are no commits")
    told = ("--members", "200", "--only", "bulk", "--rounds", "1", "--json")
    done = bench(tmp_path, *told, "--against", "HEAD")
    assert done.returncode == 0, done.stderr[-4000:]
    against = json.loads(done.stdout)["against"]
    assert (tmp_path / "benchmarks" / "checkouts" / against["commit"] / "Procfile").exists()
    assert {pair["name"] for pair in against["pairs"]} == {"bulk"}
    assert all(pair["ratio"] > 0 for pair in against["pairs"])
    assert [row["n"] for row in against["old_rows"]] == [200]


def test_an_unknown_commit_is_bad_use(tmp_path: Path) -> None:
    """Nothing is started for it, and it is no option of git's."""
    for named in ("no-such-commit", "--all"):
        done = bench(tmp_path, f"--against={named}")
        assert (done.returncode, done.stdout) == (2, "")
        assert "the repository has no such commit" in " ".join(done.stderr.replace("│", "").split())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_part_is_bad_use(tmp_path: Path) -> None:
    """Nothing is started for it; the parts that there are, are named."""
    done = bench(tmp_path, "--only", "weather")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no part weather" in done.stderr
    assert list(tmp_path.iterdir()) == []
