"""The pure core: what is owed, and why. No I/O, no clock, no SQLAlchemy.

Read in this order: frequency → calendar → facts → charges → standing → parties → history → releases → occurrences →
validities → decisions → settlement, manual_issue. `decisions.decide(history, rules)` is the one place where the rules
of SEMANTICS are applied; the sweep, events, manual issue, replay and explain all ask it.
"""
