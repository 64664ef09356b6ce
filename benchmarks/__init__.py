"""How fast Issuance is, beside the floor that the database sets and beside its peers: `./run bench`.

Read `harness` first (parts, rounds, medians), then `bulk` and `floor`, which are what the rest is held against. What
each row means and how to read it: docs/performance.md. The product knows nothing of any of this.
"""
