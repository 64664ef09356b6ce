"""The scheduler: looks at what is due and asks for it. `tick.run_once` is the work, `__main__` a dull loop."""
