"""Every page of the console: looked at, and timed."""
