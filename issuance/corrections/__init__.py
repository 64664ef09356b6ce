"""What people correct, credit by credit: grants, extensions, transfers, revocations, reinstatements (SEMANTICS 15).

`wanted` says what can be asked for, `refusals` what a credit allows of it, `desk` does it, one or many in a
transaction, and `rows` reads many from a file.
"""
