# SPDX-License-Identifier: Apache-2.0
"""Boots for tests of the order of start: recorded ones, and made ones."""

import gzip

from tests.recordings import DATA

from tidegate.units import lastboot
from tidegate.units.lastboot import BootTimes, UnitTimes

SATELLITE, INCUS = "linstor-satellite.service", "incus.service"


def recorded(name: str) -> BootTimes:
    """The starts that a recorded journal below tests/data tells of."""
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return lastboot.of_journal(lines)


def boot(units: dict[str, UnitTimes], dropped: tuple[str, ...] = ()) -> BootTimes:
    """A boot with these starts."""
    return BootTimes(units=units, dropped=dropped, boot="made")
