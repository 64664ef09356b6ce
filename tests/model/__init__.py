"""A second, independent reading of SEMANTICS 2-10, and random histories that play it against a running server."""
