"""PostgreSQL that fails over: Patroni in synchronous mode, whose primary is killed in the middle of a run."""
