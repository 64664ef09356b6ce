"""Python runs this at the start of each of a site's processes (tests/faults/site.py puts the folder on its path)."""

import os

if os.environ.get("ISSUANCE_TEST_FAULTS"):
    from tests.faults import victim

    victim.lie_in_wait()
