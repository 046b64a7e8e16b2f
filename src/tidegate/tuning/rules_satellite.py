# SPDX-License-Identifier: Apache-2.0
"""The satellite's own start: its JVM, its limits, its weight, and that it comes back when it dies."""

from typing import Final

from tidegate.tuning import figure, jvm
from tidegate.tuning.advice import Advice, Edit, Rule, When
from tidegate.tuning.archive import UNIT, exec_start
from tidegate.tuning.facts import HostFacts, Service
from tidegate.tuning.figure import Seen, size

FLAGS_SAVE: Final = 0.5
"""Of a JVM's start, what serial collector and quick compiler saved at least (facts/linstor-observed.md E: 15.9 to 6.0 s, 8.7 to 4.1 processor seconds)."""
ARCHIVE_SAVES: Final = 0.2
"""Of what is left then, what a class-data archive saved (the same table: 6.0 to 4.7 s, 4.1 to 3.2 processor seconds)."""
ARCHIVE_WORTH: Final = 1.5
"""Seconds below which a start command of the package's is not worth replacing."""
MANY: Final = 1000
"""Resources from which on a satellite's own work may profit from the slower, better compiler."""
CONTENDED: Final = 0.5
"""Share of the JVM's start in which somebody waited for a processor, from which on its weight matters."""
FULL: Final = 0.8
"""Share of a limit from which on it is called near."""
FAILED_COSTS: Final = 60.0
"""Seconds that a satellite which died costs at least, with nothing that starts it again: Incus tries its pool once a minute."""


def flags(facts: HostFacts) -> Advice | None:
    """Serial collector and C1."""
    known, satellite, java = facts.phase("jvm"), facts.satellite, facts.java
    if known is None or satellite is None or java is None or facts.resources > MANY:
        return None
    if not set(jvm.TRIED) <= java.accepts or set(jvm.QUICK) <= set(satellite.options.split()):
        return None
    if jvm.chooses_collector(satellite.options):
        return None
    seconds, count = known
    change, undo, edit = option_change(satellite, "jvm-flags", jvm.QUICK)
    return Advice(
        id="jvm-flags",
        title="start the satellite's JVM with the serial collector and the quick compiler",
        gain=FLAGS_SAVE * seconds,
        source=figure.estimate(
            f"{FLAGS_SAVE:g} × {seconds:.1f} s, the median of {figure.counted(count)}; {FLAGS_SAVE:g} is what it saved on a real satellite, in processor time"
        ),
        evidence=(
            Seen(
                text=f"from the satellite's start until its port is open: {seconds:.1f} s",
                source=figure.boots(count),
            ),
            Seen(
                text=f"{java.version} accepts {' '.join(jvm.TRIED)}",
                source=figure.measured(facts.at),
            ),
        ),
        change=change,
        risk="a satellite with very many resources computes more slowly later; a few hundred make no difference",
        undo=undo,
        edit=edit,
        measure="jvm",
    )


def heap(facts: HostFacts) -> Advice | None:
    """The most that the heap may be, against the host's memory and what the satellite has needed."""
    satellite = facts.satellite
    if satellite is None or not facts.memory:
        return None
    allowed = jvm.heap(satellite.options) or satellite.heap
    if allowed is None:
        return None
    needed, peak = None, satellite.peak
    if peak is not None and peak > FULL * allowed:
        needed = min(2 * allowed, facts.memory // 4)
        why = f"its process has had {size(peak)} in memory, its heap may have {size(allowed)}; beyond that the JVM aborts, and nothing starts it again"
    elif allowed > facts.memory // 2:
        needed = max(facts.memory // 4, 256 * jvm.MIB)
        why = f"its heap may have {size(allowed)} of this host's {size(facts.memory)}: instances would be pushed out before it"
    if needed is None or needed == allowed or (peak or 0) > needed:
        return None
    change, undo, edit = option_change(satellite, "jvm-heap", (jvm.heap_option(needed),))
    return Advice(
        id="jvm-heap",
        title=f"allow the satellite's heap {size(needed)}",
        gain=FAILED_COSTS,
        source=figure.estimate(
            f"{FAILED_COSTS:g} s, the minute after which Incus tries its pool again, once the satellite is back"
        ),
        evidence=(
            Seen(text=why, source=figure.measured(facts.at)),
            Seen(
                text=f"it keeps {facts.resources} resources",
                source=figure.read(facts.at, "LINSTOR's kept files"),
            ),
        ),
        change=change,
        risk="too little heap ends the satellite; too much takes memory from instances",
        undo=undo,
        edit=edit,
        when=When.TROUBLE,
    )


def option_change(
    service: Service, name: str, words: tuple[str, ...]
) -> tuple[tuple[str, ...], str, Edit | None]:
    """Return the change that gives the JVM of ``service`` these options, how it is undone, and what we write for it.

    A file that wins over any unit file is left to a person, and so are options with quotes in them.
    """
    wanted, file = jvm.joined(service.options, words), service.options_file
    if file:
        change = (f"JAVA_OPTS={wanted}", f"in {file}, which wins over any unit file")
        return change, f"JAVA_OPTS={service.options} in {file}", None
    if service.quoted:
        change = (
            f"add {' '.join(words)} to JAVA_OPTS of {service.unit}",
            "there are quotes in it, which are not ours to take apart",
        )
        return change, "take them out again", None
    change = (jvm.setting(wanted), f"in a drop-in of {service.unit}")
    return change, f"tidegate tune revert {name}", Edit(unit=service.unit, words=words)


def archive_gain(facts: HostFacts) -> tuple[float, str] | None:
    """Return what a class-data archive would gain, in seconds, and the formula; None when that is not known."""
    known, satellite = facts.phase("jvm"), facts.satellite
    if known is None or satellite is None:
        return None
    seconds, count = known
    quick = set(jvm.QUICK) <= set(satellite.options.split()) or "jvm-flags" in facts.applied
    rest = 1.0 if quick else 1.0 - FLAGS_SAVE
    with_flags = "" if quick else f" × {rest:g} that jvm-flags leaves"
    formula = f"{ARCHIVE_SAVES:g} × {seconds:.1f} s, the median of {figure.counted(count)}{with_flags}; {ARCHIVE_SAVES:g} is what it saved on a real satellite"
    return ARCHIVE_SAVES * rest * seconds, formula


def archive(facts: HostFacts) -> Advice | None:
    """A class-data archive: only where it is worth replacing the package's start command."""
    gain = archive_gain(facts)
    if gain is None or facts.archive is None or facts.archive.obstacle or facts.java is None:
        return None
    if gain[0] < ARCHIVE_WORTH:
        return None
    assert facts.satellite is not None
    return Advice(
        id="class-archive",
        title="keep the satellite's classes in an archive that the JVM maps instead of reading them anew",
        gain=gain[0],
        source=figure.estimate(gain[1]),
        evidence=(
            Seen(
                text="the packaged class path begins with a directory, and then a JVM writes no archive",
                source=figure.read(facts.at, "the satellite's start script"),
            ),
        ),
        change=(
            f"ExecStart= of {facts.satellite.unit} looks first for an archive of just these jars and this JVM, and else runs the packaged script",
            "tidegate-archive.service makes it from a start's own list of classes, when the host is calm, and again after each upgrade",
        ),
        risk="none is known: an archive that does not fit is not used; it takes some 40 MiB in /var/lib/tidegate",
        undo="tidegate tune revert class-archive",
        edit=Edit(
            unit=facts.satellite.unit,
            sections={
                "Unit": (f"Wants={UNIT}",),
                "Service": (
                    "ExecStart=",
                    exec_start(facts.satellite.command, f"{facts.archive.folder}/satellite.sh"),
                    f"SyslogIdentifier={facts.satellite.identifier}",
                ),
            },
        ),
        measure="jvm",
    )


def weight(facts: HostFacts) -> Advice | None:
    """Processor and disk first for the satellite, while the host boots."""
    known, waited = facts.phase("jvm"), facts.phase("cpu-waited")
    if known is None or waited is None or facts.satellite is None or facts.satellite.weight:
        return None
    (seconds, count), (short, _) = known, waited
    if short < CONTENDED * seconds:
        return None
    both = min(short, seconds)
    return Advice(
        id="boot-weight",
        title="give the satellite the processors and disks first, while the host boots",
        gain=0.5 * both,
        source=figure.estimate(
            f"half of {both:.1f} s, in which a boot's processes waited for a processor while the JVM started, the median of {figure.counted(count)}"
        ),
        evidence=(
            Seen(
                text=f"some process waited for a processor for {short:.1f} s of the satellite's first {seconds:.1f} s (/proc/pressure/cpu)",
                source=figure.boots(count),
            ),
        ),
        change=(
            f"StartupCPUWeight=1000 and StartupIOWeight=1000 in a drop-in of {facts.satellite.unit}; over once the boot is",
        ),
        risk="what else starts at boot takes longer",
        undo="tidegate tune revert boot-weight",
        edit=Edit(
            unit=facts.satellite.unit,
            sections={"Service": ("StartupCPUWeight=1000", "StartupIOWeight=1000")},
        ),
        measure="jvm",
    )


def restart(facts: HostFacts) -> Advice | None:
    """A satellite that dies stays failed (facts/observed.md): a boot with it never ends."""
    satellite = facts.satellite
    if satellite is None or facts.agent or satellite.restart not in {"", "no"}:
        return None
    return Advice(
        id="satellite-restart",
        title="have systemd start a satellite that died again",
        gain=FAILED_COSTS,
        source=figure.estimate(
            f"{FAILED_COSTS:g} s at least, the minute after which Incus tries its pool again; without a person it never ends"
        ),
        evidence=(
            Seen(
                text=f"{satellite.unit} has no Restart=, and no agent runs that would start it",
                source=figure.read(facts.at, "its unit files"),
            ),
        ),
        change=(
            f"Restart=always, RestartSec=5s, StartLimitIntervalSec=0 in a drop-in of {satellite.unit}",
        ),
        risk="a satellite that cannot start at all is tried again every five seconds",
        undo="tidegate tune revert satellite-restart",
        edit=Edit(
            unit=satellite.unit,
            sections={
                "Unit": ("StartLimitIntervalSec=0",),
                "Service": ("Restart=always", "RestartSec=5s"),
            },
        ),
        when=When.TROUBLE,
    )


def inotify(facts: HostFacts) -> Advice | None:
    """A satellite needs an inotify instance and does not start without one; containers eat them (facts/linstor.md 13)."""
    limits = facts.limits
    if limits is None or limits.inotify_used < FULL * limits.inotify_instances:
        return None
    more = max(1024, 4 * limits.inotify_used)
    return Advice(
        id="inotify-limit",
        title="allow root more inotify instances",
        gain=FAILED_COSTS,
        source=figure.estimate(
            f"{FAILED_COSTS:g} s at least: a satellite that gets no instance does not start, and Incus tries its pool once a minute"
        ),
        evidence=(
            Seen(
                text=f"root uses {limits.inotify_used} of {limits.inotify_instances} instances",
                source=figure.measured(facts.at),
            ),
        ),
        change=(
            f"echo fs.inotify.max_user_instances={more} > /etc/sysctl.d/60-inotify.conf",
            "sysctl --system",
        ),
        risk="none worth naming: an instance costs about a kilobyte",
        undo="rm /etc/sysctl.d/60-inotify.conf",
        when=When.TROUBLE,
    )


def open_files(facts: HostFacts) -> Advice | None:
    """The start script raises the soft limit to the hard one (facts/linstor.md 13); a unit that lowers that one takes it away."""
    satellite = facts.satellite
    if satellite is None or not satellite.files_limit:
        return None
    if satellite.files_used < FULL * satellite.files_limit:
        return None
    more = max(65536, 4 * satellite.files_limit)
    return Advice(
        id="file-limit",
        title="allow the satellite more open files",
        gain=FAILED_COSTS,
        source=figure.estimate(
            f"{FAILED_COSTS:g} s at least: a satellite that can open no file cannot run its tools, and Incus tries its pool once a minute"
        ),
        evidence=(
            Seen(
                text=f"its process has {satellite.files_used} files open and may have {satellite.files_limit}",
                source=figure.measured(facts.at),
            ),
        ),
        change=(f"LimitNOFILE={more} in a drop-in of {satellite.unit}",),
        risk="none known",
        undo="tidegate tune revert file-limit",
        edit=Edit(unit=satellite.unit, sections={"Service": (f"LimitNOFILE={more}",)}),
        when=When.TROUBLE,
    )


RULES: Final[tuple[Rule, ...]] = (flags, heap, archive, weight, restart, inotify, open_files)
