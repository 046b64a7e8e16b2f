# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.boots``: right, wrong and undecided over every recorded boot and every fault made by hand, as a table.

What each boot was is in the tests (``tests/unit/boot``); *undecided* is a first cause that says itself that it is one of several, or a
verdict that says that too little was read. Exit code 1 when one is wrong.
"""

import sys
from collections import Counter
from collections.abc import Iterator

import msgspec
from tests.unit.boot import test_faults, test_recordings

from tidegate.boot.model import BootAnalysis, Confidence, Status

_NOTHING = "nothing wrong"
_TRUTH = {
    "lab/s7-stock.txt.gz": "controller.black-holed",
    "lab/s8-stock.txt.gz": "controller.hung",
}
"""What was done to boots that the lines alone cannot tell apart."""


class Row(msgspec.Struct, frozen=True):
    """One boot: what it was, and what was said of it."""

    name: str
    was: str
    said: str
    verdict: str


def _row(name: str, was: str, boot: BootAnalysis) -> Row:
    first = boot.first_causes[0] if boot.first_causes else None
    said = first.code if first is not None else ""
    verdict = "right" if said == was else "wrong"
    if boot.status is Status.UNDECIDED or (
        first is not None and first.confidence is Confidence.POSSIBLE
    ):
        verdict = "undecided"
    return Row(
        name=name, was=_TRUTH.get(name, was) or _NOTHING, said=said or _NOTHING, verdict=verdict
    )


def rows() -> Iterator[Row]:
    """Yield a row per boot: recordings first."""
    for name, (code, _, _) in test_recordings.EXPECTED.items():
        yield _row(name, code, test_recordings.last(name))
    for name, fault in test_faults.FAULTS.items():
        yield _row(f"made: {name}", fault.code, test_faults.boot_of(fault).analyse())


def main() -> int:
    """Print the table and its sums."""
    found = list(rows())
    sums = Counter(row.verdict for row in found)
    print(f"{len(found)} boots: " + ", ".join(f"{n} {word}" for word, n in sums.most_common()))
    print("\n| boot | it was | first cause | |\n|---|---|---|---|")
    for row in found:
        print(f"| {row.name} | `{row.was}` | `{row.said}` | {row.verdict} |")
    return 1 if sums["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
