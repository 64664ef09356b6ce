"""Bad input: events, durations, queue messages and request bodies that nobody should send."""
