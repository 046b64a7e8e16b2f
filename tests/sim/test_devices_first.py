# SPDX-License-Identifier: Apache-2.0
"""Devices first in whole boots after a power loss: never later, and nothing used before its peer has been heard."""

from typing import Any

import msgspec
import pytest

from tidegate.sim import schedule as schedules
from tidegate.sim.faults import TYPICAL, Fault, FaultKind
from tidegate.sim.run import simulate
from tidegate.sim.watch import Result


def boot(*, devices_first: bool, seed: int = 0, **changes: Any) -> Result:
    """A two-node boot after a power loss in which every volume was Primary here."""
    plain = schedules.observed("s0", nodes=2, seed=seed)
    crashed = tuple(msgspec.structs.replace(each, crashed=True) for each in plain.layout.resources)
    layout = msgspec.structs.replace(plain.layout, resources=crashed)
    return simulate(
        msgspec.structs.replace(
            plain, layout=layout, timings=TYPICAL, devices_first=devices_first, **changes
        )
    )


def ups(result: Result) -> list[float]:
    """When the three on LINSTOR came up; none of them may have been lost."""
    found = [result.up[f"default/{name}"] for name in ("c1", "c2", "c3")]
    assert None not in found
    return [at for at in found if at is not None]


@pytest.mark.parametrize("seed", range(5))
def test_instances_run_earlier_and_their_crashed_volumes_have_been_resynced(seed: int) -> None:
    stock, early = (boot(devices_first=first, seed=seed) for first in (False, True))
    assert (stock.violations, early.violations) == ((), ())
    assert max(ups(early)) < max(ups(stock)) - 1.0


def test_a_torn_file_is_left_to_linstor_and_nothing_is_lost() -> None:
    names = tuple(f"{schedules.PREFIX}{name}" for name in ("c1", "c2", "c3"))
    torn = boot(devices_first=True, torn=names)
    assert torn.violations == ()
    assert torn.up == boot(devices_first=False).up


def test_an_absent_peer_that_may_have_newer_data_is_waited_for() -> None:
    """The split-brain rule holds for devices that came up early as for all others."""
    away = Fault(kind=FaultKind.PEER_AWAY, subject="n2", end=60.0, alive=True)
    result = boot(devices_first=True, faults=(away,))
    assert result.violations == ()
    assert min(ups(result)) > 60.0
