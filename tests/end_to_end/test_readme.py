"""What the README tells a reader to paste does what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.serving import Server

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")), reason="the README's example is for bash and curl"
)
def test_send_your_first_event(server: Server) -> None:
    """Pasted as it stands, with a key and an address, the example ends with one live and one expired credit."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = [block for block in blocks if block.startswith("KEY=")]
    script = example.replace("KEY=iss_sandbox_… URL=http://127.0.0.1:8080", "set -e", 1)
    assert script != example, "the example begins with a key and an address"
    environment = {**os.environ, "KEY": server.new_brand().key, "URL": server.url}
    ran = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    answers = [line for line in ran.stdout.splitlines() if line.startswith('{"accepted"')]
    told = re.findall(r"^    (\{\"accepted\".*)$", README.read_text(), re.MULTILINE)
    assert answers == told
    assert sorted(re.findall(r'"status": "(\w+)"', ran.stdout)) == ["expired", "live"]


def test_the_readme_knows_every_resource(server: Server) -> None:
    """Whatever resource the OpenAPI document has, the README's overview names."""
    told = re.findall(r"/[\w/-]+", README.read_text())
    paths = httpx.get(f"{server.url}/openapi.json", timeout=60).json()["paths"]
    resources = {path.partition("/{")[0] for path in paths}
    assert resources - {path.rstrip("/") for path in told} == set()
