"""What is in deploy/ fits what the processes do."""

import re
import subprocess
import sys

from tests.serving import REPO

#: A web process that finds no folder for temporary files.
NOWHERE = """
import tempfile
tempfile._candidate_tempdir_list = lambda: ["/nowhere"]
from issuance.api.__main__ import main
main()
"""
SETTINGS = {"DATABASE_URL": "postgresql://127.0.0.1:1/nobody", "REDIS_URL": "redis://127.0.0.1:1/0"}


def test_a_root_that_is_read_only_has_a_place_for_what_is_written() -> None:
    """Web shares figures in files, workers keep what a biller said in a dry run."""
    manifests = (REPO / "deploy/kubernetes/issuance.yaml").read_text().split("---\n")
    containers = [one for each in manifests for one in re.split(r"(?m)^ +- (?=name: )", each)[1:]]
    writing = [one for one in containers if "issuance.api" in one or "-m, worker" in one]
    assert len(writing) == 4
    assert all("readOnlyRootFilesystem: true" in one for one in containers)
    assert all("volumeMounts: [{name: tmp, mountPath: /tmp}]" in one for one in writing)
    assert sum("volumes: [{name: tmp, emptyDir: {}}]" in each for each in manifests) == 2
    compose = (REPO / "deploy/compose.yaml").read_text()
    assert compose.count("read_only: true") == compose.count("tmpfs: [/tmp]") == 1


def test_a_web_process_that_can_write_nowhere_says_so_in_a_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NOWHERE], cwd=REPO, env=SETTINGS, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert "TMPDIR" in line
