"""Chaos: faults of every kind at random moments, under load, on real processes; then everything is counted.

load (a club, wallets, poison) + faults, each followed by a canary → all settles → counts, laws, recovery times
"""
