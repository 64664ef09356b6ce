"""Sabotage: the product's guards are taken out one at a time, in a copy, and the suite must notice each.

guards/*.toml (what is taken out, and who must notice) → guards.py → campaign.py: a copy, a patch, pytest
"""
