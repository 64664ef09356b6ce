"""Peers: the same job done with the usual means, and real products' own bulk issue.

Each file here runs in an environment of its own, beside which neither Issuance nor the other peers are installed, as
`python -m benchmarks.peers.NAME`. It is told what to do by its environment (`benchmarks/peer.py`), and says on stdout
how long it took, or on which second of the monotonic clock it began.
"""


class NoMigrations:
    """For Django: tables as the models have them now, without their history, which takes minutes."""

    def __contains__(self, app: str) -> bool:
        return True

    def __getitem__(self, app: str) -> None:
        return None
