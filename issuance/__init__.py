"""Turns membership billing events into credits, by rules, exactly once."""

import zoneinfo

#: The one place that says so: pyproject.toml, the API document and `issuance --version` read it here.
__version__ = "0.3.0"

# Zones come from the pinned tzdata on every host, not from the host's own files: they must agree on every midnight.
zoneinfo.reset_tzpath(to=())
