"""Brands, which are the tenants, and how their programs and members get in: keys, member tokens, idempotency keys, and
each brand's clock."""
