"""Everything on one machine: what `./run` and `./test` need.

environment (Python packages) → __main__ → up, or command
    servers: postgres and valkey, each a `server`      processes: those of the `procfile`
    lock: who runs this home      running and watcher: nothing outlives its supervisor
"""
