"""Deterministic simulation: the real scheduler, actors and settling in one process, under a world made of a seed.

A history is a list of operations: what clients do (events, rules, redemptions, the clock), and what the world does to
the processes that serve them (messages lost, doubled and late; processes that die or rest between two statements;
transactions that fail; answers that are never heard). `histories` draws it, `world` plays it on a real PostgreSQL,
`processes` lets a program die, fail or rest, `queue` is the queue, and `mirror` tells the oracle of `campaigns.model`
of each commit, so that after every one of them the oracle knows what must be there. A history is some thousand small
statements: `wire` and `connections` keep their way to PostgreSQL short.

`./run simulate --seeds N --seed S` plays a campaign; a failing history is made short, printed, and can be kept in
`kept/`, where it is a test from then on.
"""
