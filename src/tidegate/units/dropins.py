# SPDX-License-Identifier: Apache-2.0
"""What each strategy writes: the drop-ins, each with the reason that stands in it."""

from collections.abc import Iterator
from typing import Final

from tidegate.config.policy import FailPolicy, GatePolicy
from tidegate.units import parse, render
from tidegate.units.host import (
    GUARD_SOCKET,
    GUARD_UNIT,
    GUARD_URL,
    READY_UNIT,
    GuardAccess,
    HostView,
    Options,
    Strategy,
)
from tidegate.units.packaging import INCUS_STARTUP, INCUS_UNIT, SATELLITE_UNIT, Packaging
from tidegate.units.tree import Index

STORAGE_UNITS: Final = (
    "network-online.target",
    "systemd-modules-load.service",
    "multipathd.service",
    "iscsid.service",
    "open-iscsi.service",
    "iscsi.service",
    "nvmf-autoconnect.service",
    "remote-cryptsetup.target",
    "lvm2-activation-early.service",
    "lvm2-activation.service",
    "lvm2-activation-net.service",
    "lvm2-monitor.service",
    "lvm2-lvmlockd.service",
    "blk-availability.service",
    "zfs-import.target",
    "zfs-load-key.service",
    "zfs-mount.service",
    "zfs-volume-wait.service",
    "zfs-volumes.target",
    "zfs.target",
)
"""What makes the storage below LINSTOR's pools usable, or would take it away first at a shutdown. What a host does not have counts
for nothing; what is installed later counts at once. The satellite looks for its tools when a controller connects and never again
(facts/linstor.md 2.4), and a pool that is imported later stays broken until then."""

STOP_AFTER: Final = (
    "drbd-graceful-down.service",
    "drbd-graceful-shutdown.service",
    "blk-availability.service",
)
"""Taken down after Incus at a shutdown: they do nothing at the start, and take DRBD and volume groups away at the stop. ``drbd.service``
is not among them: its start may wait for peers for ever (facts/linstor.md 14, PR #13)."""

_STARTUP_STOCK: Final = 600.0
"""``TimeoutStartSec=`` of incus-startup.service in both packagings."""
_CAP: Final = GatePolicy().cap
_RESTART_AFTER: Final = 5.0


def drop_ins(
    host: HostView,
    index: Index,
    found: Packaging,
    chosen: Strategy,
    options: Options,
    *,
    pull: bool,
    unwaited: bool,
) -> dict[str, str]:
    """Return path and text of every drop-in that ``chosen`` needs on this host.

    ``index``: its units without ours. ``pull``: the boot itself must start Incus (facts/incus.md U4, U5). ``unwaited``: Incus does not
    wait for the satellite's unit, so that this may take as long as it needs to start.
    """
    written = dict(_satellite(host, chosen, patient=unwaited and told_by_itself(index)))
    if chosen is not Strategy.GUARD:
        written.update(_gate(index, found, options, pull=pull))
    if chosen is Strategy.GUARD:
        written.update(_guard(options.guard))
    written.update(_stop(index, chosen))
    return {**written, **asked_for(options)}


def asked_for(options: Options) -> dict[str, str]:
    """Return path and text of the drop-ins that other rooms asked for, whatever the order of the boot is."""
    written: dict[str, str] = {}
    if options.guard is not None:
        written.update(_guard(options.guard))
    for addition in options.additions:
        path = render.path(addition.unit, addition.topic)
        written[path] = render.drop_in(addition.why, addition.sections)
    return written


def told_by_itself(index: Index) -> bool:
    """Return whether the satellite's unit is of ``Type=notify`` without us: all that is ordered after it waits for a controller."""
    return index.unit(SATELLITE_UNIT).value("Service", "Type") == "notify"


def _satellite(host: HostView, chosen: Strategy, *, patient: bool) -> Iterator[tuple[str, str]]:
    directories = sorted({place for pool in host.storage_pools or () for place in pool.places})
    unit = [
        f"After={' '.join(STORAGE_UNITS)}",
        *(f"RequiresMountsFor={_quoted(directory)}" for directory in directories),
        "# A satellite that stays down loses every instance on its pools: no limit to how often it is started.",
        "StartLimitIntervalSec=0",
    ]
    service = [
        "# always, not on-failure: 143 and 129 count as success in this unit, so a stray SIGTERM or SIGHUP would leave it dead.",
        "Restart=always",
        f"RestartSec={render.seconds(_RESTART_AFTER)}",
    ]
    if chosen is Strategy.ORDER or patient:
        service = [
            "# READY=1 comes when its first run is over, and never without a controller: no time-out may kill it meanwhile.",
            *(["Type=notify"] if chosen is Strategy.ORDER else []),
            "TimeoutStartSec=infinity",
            *service,
        ]
    why = "The satellite comes after the storage below its pools, and comes back whenever it dies."
    if directories:
        why += (
            "\nIts file-based pools must be mounted first: in a bare mount point it would make all volumes anew, empty."
            "\nOne such mount that fails holds the satellite, and with it every pool."
        )
    yield (
        render.path(SATELLITE_UNIT, "satellite"),
        render.drop_in(why, {"Unit": unit, "Service": service}),
    )


def _gate(
    index: Index, found: Packaging, options: Options, *, pull: bool
) -> Iterator[tuple[str, str]]:
    why = (
        "Incus starts when the storage of its instances is proven ready, or when the gate's limit is over."
        "\nThis unit and no other: its socket starts it for any client, at any time."
        "\nWants=, never Requires=: a gate that fails must not start a loop with the client that waits in the socket."
    )
    lines = [f"After={READY_UNIT}", f"Wants={READY_UNIT}"]
    yield render.path(INCUS_UNIT, "gate"), render.drop_in(why, {"Unit": lines})
    yield render.path(READY_UNIT, "limit"), _limit(options, pull=pull)
    if found.has_startup:
        yield render.path(INCUS_STARTUP, "startup"), _startup(index, options)


def _limit(options: Options, *, pull: bool) -> str:
    """The gate's own limit. Its start time-out stays as packaged: the gate extends it while it lives, and one that hangs is ended."""
    unit = []
    if pull:
        unit = [
            "# After a power loss nothing else may start Incus: its own check reads a dump of the last clean stop.",
            f"Wants={INCUS_UNIT}",
        ]
    service = [
        f"Environment=TIDEGATE_GATE_LIMIT={options.timeout:g}",
        "# The start time-out of incus-startup.service is raised in the same plan, so the cap may be.",
        f"Environment=TIDEGATE_GATE_CAP={max(_CAP, options.timeout):g}",
        f"Environment=TIDEGATE_GATE_POLICY={options.policy}",
    ]
    why = f"How long the gate holds Incus, and what then: {options.policy}."
    return render.drop_in(why, {"Unit": unit, "Service": service})


def _startup(index: Index, options: Options) -> str:
    """The wait in front of Incus counts against this unit's start, and without it nothing stops instances cleanly (U14, U15)."""
    written = parse.seconds(index.unit(INCUS_STARTUP).value("Service", "TimeoutStartSec", "600s"))
    stock = _STARTUP_STOCK if written is None else written or float("inf")
    limit = float("inf") if options.policy is FailPolicy.CLOSED else stock + options.timeout
    why = (
        "This unit waits while Incus is held. Were it killed meanwhile, the next shutdown would not stop instances cleanly:"
        "\nwhat the gate may take is added to its own time."
    )
    return render.drop_in(why, {"Service": [f"TimeoutStartSec={render.seconds(limit)}"]})


def _guard(access: GuardAccess | None) -> Iterator[tuple[str, str]]:
    why = "The guard listens before Incus asks for the first time, and until its last question at the stop."
    unit = [
        f"After={GUARD_SOCKET} {GUARD_UNIT}",
        "# Wants=, never Requires=: without a guard Incus asks the next controller.",
        f"Wants={GUARD_SOCKET}",
    ]
    service = []
    if access is not None and access.controllers:
        listed = render.variables_path(INCUS_UNIT, "guard")
        service += [
            "# A file, because what the packaging's own EnvironmentFile= says would win over any Environment=.",
            f"EnvironmentFile=-{listed}",
        ]
        text = "Incus asks these in turn, unless the cluster's own key storage.linstor.controller_connection is set."
        value = ",".join((GUARD_URL, *access.controllers))
        yield listed, render.variables(text, {"LS_CONTROLLERS": value})
    if access is not None and access.secret_file:
        service += [
            "# By it the guard knows Incus. In a file of root's: what stands here anybody may read.",
            f"EnvironmentFile=-{access.secret_file.replace('%', '%%')}",
        ]
    yield render.path(INCUS_UNIT, "guard"), render.drop_in(why, {"Unit": unit, "Service": service})


def _stop(index: Index, chosen: Strategy) -> Iterator[tuple[str, str]]:
    waits_for_ever = chosen is Strategy.ORDER or told_by_itself(index)
    after = STOP_AFTER if waits_for_ever else (SATELLITE_UNIT, *STOP_AFTER)
    why = "At a shutdown Incus goes first, then the satellite and DRBD below it: what is ordered after them is stopped before."
    if waits_for_ever:
        why += f"\n{SATELLITE_UNIT} is missing here on purpose: it is Type=notify, and Incus would wait for a controller for ever."
    lines = [f"After={' '.join(after)}"]
    yield render.path(INCUS_UNIT, "stop"), render.drop_in(why, {"Unit": lines})


def _quoted(directory: str) -> str:
    """Return a path as one word of a list, with specifiers made literal."""
    text = directory.replace("%", "%%")
    return f'"{text}"' if any(character in text for character in " \t'") else text
