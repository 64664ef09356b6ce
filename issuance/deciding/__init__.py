"""The pure core: what is owed, and why. No I/O, no clock, no SQLAlchemy.

Read in this order: frequency → calendar → facts → standing → parties → releases → versions → occurrences →
decisions → settlement. `decisions.decide(facts, rules, now)` is the one place where the rules of
SEMANTICS are applied; the sweep, events, manual issue, replay and explain all ask it.
"""
