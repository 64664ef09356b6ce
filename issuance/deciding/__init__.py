"""The pure core: what is owed, and why. No I/O, no clock, no SQLAlchemy.

Read in this order: frequency → calendar → archivings → facts → coverage → charges → standing → types → parties →
history → releases → occurrences → used → validities → decisions → flagged → settlement, manual_issue. `recognition`
says who is who on lists of guests, before they are facts. `decisions.decide(history, rules)` is the one place where it
is said what is owed: the sweep, events, replay, forecasts and explain all ask it. What is issued by hand has its rules
in `manual_issue`; both use `parties`, `validities` and `standing`.
"""
