"""The operator's own people: who signs in to the console, how, and what role they have in each brand (INTERFACE 12).

They belong to no brand; their roles do. `people` adds them, `passwords` and `sign_ins` let them in, `sessions` says who
a browser is.
"""
