"""The HTTP face: one router a noun, each a thin way in and out of the domain (INTERFACE 3-6, 8, 10)."""
