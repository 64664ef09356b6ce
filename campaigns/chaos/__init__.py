"""Chaos: causes faults of every kind at random moments, under load, in real processes; then counts everything.

load (a club, wallets, poison) + faults, each followed by a canary → all settles → counts, laws, recovery times
"""
