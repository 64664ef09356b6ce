"""No row of one brand is ever visible to, or changed by, another (SEMANTICS 14, law 10)."""
