"""Everything, from the outside."""
