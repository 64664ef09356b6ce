"""Sabotage: the product's guards are taken out one at a time, in a copy, and the suite must notice each.

guards/*.toml (what is taken out of which symbol, and which tests must notice) → guards.py → edits.py: the change inside
the symbol → campaign.py: a copy of the tree, pytest
"""
