# SPDX-License-Identifier: Apache-2.0
"""Whatever a boot may have been like: the comparison with its order says something true, and never fails."""

import functools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import unit_trees
from tests.unit_boots import INCUS, SATELLITE, boot

from tidegate.units import checked, compare, expected, plan
from tidegate.units.compare import Cause
from tidegate.units.host import GuardAccess, Options
from tidegate.units.lastboot import UnitTimes
from tidegate.units.traps import Scene
from tidegate.units.tree import Index, Link

MOMENTS = st.none() | st.floats(0, 600, allow_nan=False)
TIMES = st.builds(
    UnitTimes,
    begun=MOMENTS,
    up=MOMENTS,
    failed=MOMENTS,
    ready=MOMENTS,
    result=st.sampled_from(["", "timeout", "\x1b[2J"]),
    skipped=st.booleans(),
).map(lambda times: UnitTimes() if times.begun is None else times)
ASKED = (None, Options(), Options(guard=GuardAccess()))


@functools.cache
def scene(asked: int) -> Scene:
    """A Debian host: stock, with the gate, with the guard."""
    host = unit_trees.host()
    options = ASKED[asked]
    if options is None:
        return Scene(host, Index(host.tree))
    found = plan.make(host, options)
    _, whole = plan.trees(host, found)
    entries = {**whole.entries, **{path: Link(to) for path, to in found.links.items()}}
    applied = msgspec.structs.replace(host, tree=type(whole)(entries=entries))
    return Scene(applied, Index(applied.tree))


@settings(deadline=None)
@given(st.data(), st.sampled_from(range(len(ASKED))))
def test_an_inversion_is_one(data: st.DataObject, asked: int) -> None:
    on = scene(asked)
    names = st.sampled_from(sorted(expected.units(on)))
    units = data.draw(st.dictionaries(names, TIMES))
    dropped = data.draw(st.lists(names, max_size=2))
    times = boot(units, dropped=tuple(dropped))
    found = compare.check(on, times)
    for one in found.inversions:
        assert units[one.then].begun == one.began
        if one.cause not in {Cause.FAILED, Cause.UNPROVEN}:
            assert one.over is None or one.over > one.began
        assert one.finding.code == compare.CODES[one.cause]
        assert one.finding.remedy
    assert "\x1b" not in checked.text(found)
    assert checked.document(found)["grade"] == found.grade
    begun = [one.begun for _, one in found.starts if one.begun is not None]
    assert begun == sorted(begun)


@functools.cache
def notifying() -> Scene:
    """A host whose satellite says itself when it is ready, before Incus."""
    path = f"{unit_trees.ETC}/linstor-satellite.service.d/o.conf"
    host = unit_trees.host(files={path: "[Unit]\nBefore=incus.service\n[Service]\nType=notify\n"})
    return Scene(host, Index(host.tree))


@settings(deadline=None)
@given(st.floats(0.001, 600), st.floats(0, 600))
def test_who_waited_for_the_satellite_is_never_blamed(ready: float, later: float) -> None:
    units = {
        SATELLITE: UnitTimes(begun=0.0, up=ready),
        INCUS: UnitTimes(begun=ready + later, up=ready + later + 1),
    }
    assert compare.check(notifying(), boot(units)).inversions == ()
