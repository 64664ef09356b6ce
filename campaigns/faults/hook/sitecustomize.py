"""Python runs this at the start of each process of a site (campaigns/faults/site.py puts the folder on its path)."""

import os

if os.environ.get("ISSUANCE_TEST_FAULTS"):
    from campaigns.faults import victim

    victim.watch_this_process()
