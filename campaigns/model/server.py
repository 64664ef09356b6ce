"""The running server at ISSUANCE_URL. The command line in ISSUANCE_CLI makes its brands."""

from __future__ import annotations

import json
import os
import shlex
import subprocess

from campaigns.model.brand import Server


def server_of_environment() -> Server:
    command = shlex.split(os.environ.get("ISSUANCE_CLI", "./run issuance"))

    def create_brand(timezone: str) -> str:
        made = subprocess.run(
            [*command, "brands", "create", "--name", "model", "--timezone", timezone, "--sandbox"],
            check=True,
            capture_output=True,
            text=True,
        )
        key: str = json.loads(made.stdout)["key"]
        return key

    return Server(os.environ.get("ISSUANCE_URL", "http://127.0.0.1:8080"), create_brand)
