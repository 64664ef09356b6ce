"""Random histories of what people do, each step under laws that need no second oracle.

Beside the facts, rules and clock of the model's histories, managers plan and issue, approve, replay and undo; the desk
corrects; members use and give back, book, spend, are removed and come back; others ask for previews and forecasts, or
answer for what a guard holds. What was said first is what is then done; what was taken back was never there; what is
explained is what is so (`bulk`, `desk`, `members`, `foretold`, `held`). Some histories have a twin, under other ids and
with every request sent twice: it ends the same.

`histories` weaves it from a seed, `site` is the program in this process, `play` plays it, and `kept` has what failed
once. `campaigns.model` says which credits are right, `campaigns.simulation` what may happen to the processes.
"""
