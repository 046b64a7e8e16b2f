# SPDX-License-Identifier: Apache-2.0
"""Whatever is known of a host: advice has a source for every figure, gains something, comes in order, and what is in force is not advised."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.ids import AGENT_UNIT
from tidegate.tuning import advice, figure, host, jvm, result
from tidegate.tuning.advice import When
from tidegate.tuning.facts import (
    Archive,
    Boot,
    Database,
    HostFacts,
    Java,
    Limits,
    Link,
    Medium,
    Service,
    Shutdown,
    Timing,
    UnitTime,
    Volume,
    Writes,
)
from tidegate.tuning.incus import Autostart
from tidegate.tuning.result import Applied, Verdict

SATELLITE, CONTROLLER = "linstor-satellite.service", "linstor-controller.service"
NETWORKD = "systemd-networkd-wait-online.service"
seconds = st.floats(0.0, 200.0)
sizes = st.integers(0, 1 << 42)
names = st.sampled_from(["sda", "nvme0n1", "sdb"])
PHASES = (
    "before",
    "jvm",
    "listening",
    "connect",
    "devices",
    "volumes",
    "instances",
    "ready",
    "cpu-waited",
)
boots = st.builds(
    Boot, began=st.floats(0.0, 1e6), phases=st.dictionaries(st.sampled_from(PHASES), seconds)
)
timings = st.builds(
    Timing,
    command=st.just("x"),
    seconds=st.lists(seconds, min_size=1, max_size=3).map(tuple),
    at=st.just(0.0),
    lines=st.integers(0, 5000),
)
TIMED = (
    "pvdisplay",
    "pvdisplay-filtered",
    "lvs",
    "zfs-list",
    "zfs-list-volumes",
    "sh-udev",
    "multipath",
)
options = st.sampled_from(["", " ".join(jvm.QUICK), "-XX:+UseZGC", "-Xmx4G"])


def services(name: str) -> st.SearchStrategy[Service | None]:
    return st.none() | st.builds(
        Service,
        unit=st.just(name),
        command=st.just("/s --x"),
        options=options,
        options_file=st.sampled_from(["", "/etc/default/x"]),
        quoted=st.booleans(),
        heap=st.none() | sizes,
        restart=st.sampled_from(["", "no", "always"]),
        files_used=st.integers(0, 5000),
        files_limit=st.integers(0, 5000),
        weight=st.booleans(),
        online=st.booleans(),
        peak=st.none() | sizes,
    )


media = st.sets(names, max_size=2).map(tuple)
volumes = st.builds(
    Volume,
    name=st.just("r/0"),
    internal=st.booleans(),
    data=media,
    meta=media,
    al_extents=st.none() | st.integers(0, 65534),
    size=sizes,
    al_writes=st.none() | st.integers(0, 10**6),
)
units = st.sampled_from(
    [SATELLITE, CONTROLLER, NETWORKD, AGENT_UNIT, host.GATE, "systemd-udev-settle.service"]
)
facts = st.builds(
    HostFacts,
    boots=st.lists(boots, max_size=4).map(tuple),
    cpus=st.integers(1, 256),
    memory=sizes,
    java=st.none()
    | st.builds(
        Java, program=st.just("java"), version=st.just("17"), accepts=st.just(frozenset(jvm.TRIED))
    ),
    satellite=services(SATELLITE),
    controller=services(CONTROLLER),
    archive=st.none()
    | st.builds(Archive, obstacle=st.sampled_from(["", "no"]), folder=st.just("/f")),
    resources=st.integers(0, 3000),
    orphans=st.none() | st.lists(names, max_size=3).map(tuple),
    timings=st.dictionaries(st.sampled_from(TIMED), timings),
    scanned=st.dictionaries(st.sampled_from(["zvol", "loop", "drbd"]), st.integers(0, 1000)),
    groups=st.integers(0, 3),
    times=st.lists(st.builds(UnitTime, unit=units, began=seconds, active=seconds)).map(
        lambda found: {one.unit: one for one in found}
    ),
    links=st.lists(st.builds(Link, name=names, needed=st.booleans())).map(tuple),
    wait_command=st.sampled_from(["", "/w", "/w --any"]),
    module_listed=st.none() | st.booleans(),
    import_scans=st.booleans(),
    multipath=st.booleans(),
    udev_devices=st.integers(0, 1000),
    volumes=st.lists(volumes, max_size=3).map(tuple),
    media=st.dictionaries(names, st.builds(Medium, name=names, rotational=st.booleans())),
    writes=st.lists(
        st.builds(Writes, directory=st.just("/d"), media=media, timing=timings), max_size=2
    ).map(tuple),
    database=st.none() | st.builds(Database, path=st.just("/p"), size=sizes, media=media),
    resync_rate=st.none() | st.floats(1.0, 1e9),
    limits=st.none()
    | st.builds(Limits, inotify_instances=st.integers(1, 500), inotify_used=st.integers(0, 500)),
    autostart=st.lists(
        st.builds(
            Autostart,
            name=names,
            delay=st.none() | seconds,
            priority=st.none() | st.integers(-5, 5),
        )
    ).map(tuple),
    shutdown=st.none()
    | st.builds(Shutdown, took=st.none() | seconds, forced=st.lists(names, max_size=2).map(tuple)),
    agent=st.booleans(),
    wakes=st.booleans(),
    applied=st.sets(st.sampled_from(["jvm-flags", "devices-first", "boot-weight"])).map(frozenset),
)


@given(facts)
def test_every_figure_has_its_source_and_every_advice_gains(known: HostFacts) -> None:
    found = host.advise(known)
    assert len({one.id for one in found}) == len(found)
    assert not {one.id for one in found} & known.applied
    for one in found:
        assert advice.WORTH_IT <= one.gain < math.inf
        assert all((one.title, one.change, one.risk, one.undo, one.evidence))
        assert one.source.startswith(figure.PREFIXES)
        assert all(seen.source.startswith(figure.PREFIXES) for seen in one.evidence)
        assert one.measure or one.when is not When.ALWAYS
    places = [(list(When).index(one.when), -one.gain) for one in found]
    assert places == sorted(places)
    for row in (*host.looked(known), *host.own(known)):
        assert row.source.startswith(figure.PREFIXES), row
    assert all(host.missing(known))


@given(st.lists(boots, max_size=12), st.floats(0.0, 1e6))
def test_a_result_never_says_more_than_its_boots(found: list[Boot], at: float) -> None:
    applied = Applied(id="jvm-flags", measure="jvm", at=at, expected=1.0)
    told = result.compare(applied, found)
    if told.verdict in {Verdict.FASTER, Verdict.SLOWER}:
        assert told.before is not None
        assert told.after is not None
        assert told.after.count >= result.FEWEST
        assert abs(told.gain) >= result.LEAST
        assert told.chance is not None
        assert told.chance <= result.CHANCE
        assert (told.gain > 0) is (told.verdict is Verdict.FASTER)
