"""The scheduler: finds work in PostgreSQL and asks the workers for it. `tick` is one look; `__main__` repeats it."""
