"""Turns membership billing events into credits, by rules, exactly once."""

__version__ = "0.1.0"
