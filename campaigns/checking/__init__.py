"""Measures how long `issuance check` takes on a large brand."""
