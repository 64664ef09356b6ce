"""Coverage-guided fuzzing, where atheris is installed (`pip install atheris`; it is no requirement of the project).

    ./run python -m campaigns.fuzz.guided event -runs=100000

Arguments after the kind are libFuzzer's. The fuzzer's bytes are the chance that a case is drawn from.
"""

import sys
from importlib import import_module
from random import Random


class Bytes(Random):
    """A Random that draws from a fuzzer's bytes, and zeros when they are used up."""

    def __new__(cls, _: bytes) -> "Bytes":
        return super().__new__(cls)

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._left = data

    def getrandbits(self, count: int, /) -> int:
        size = (count + 7) // 8
        taken, self._left = self._left[:size], self._left[size:]
        return int.from_bytes(taken.ljust(size, b"\0"), "big") >> (size * 8 - count)

    def random(self) -> float:
        return self.getrandbits(16) / 65536


def main() -> None:
    atheris = import_module("atheris")

    with atheris.instrument_imports(include=["issuance", "worker.messages", "pydantic", "isodate"]):
        cases = import_module("campaigns.fuzz.cases")

    case = cases.ALONE[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: case(Bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
