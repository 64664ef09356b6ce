"""Turns membership billing events into credits, by rules, exactly once."""

import zoneinfo

__version__ = "0.1.0"

# Zones come from the pinned tzdata on every host, not from the host's own files: they must agree on every midnight.
zoneinfo.reset_tzpath(to=())
