# SPDX-License-Identifier: Apache-2.0
"""Finding codes of sources, of this host and of its network."""

from typing import Final

from tidegate.health.code import Code, degraded, failing, unknown

CODES: Final[tuple[Code, ...]] = (
    # --- sources -----------------------------------------------------------------------------
    unknown(
        "source.new",
        "Nothing has been heard of this source of facts yet.",
        "an answer",
        "Wait: it is being asked.",
    ),
    unknown(
        "source.lost",
        "A source of facts does not answer, so what it told before is not believed.",
        "{source} answers",
        "Look at what the source says itself: {hint}",
    ),
    unknown(
        "source.hung",
        "A look at this source did not come back in time; what it told before is not believed.",
        "an answer in time",
        "Everything else is still observed. Look at what the source says itself.",
    ),
    unknown(
        "source.bug",
        "A look at this source failed by a fault of Tidegate's own.",
        "no fault",
        "Report it, with the log of tidegate-agent.service.",
    ),
    unknown(
        "source.stale",
        "The newest fact about this is too old to be believed.",
        "a fact at most {limit} s old",
        "Wait for the next answer; if none comes, look at the source named here.",
    ),
    # --- host --------------------------------------------------------------------------------
    failing(
        "host.drbd-module-absent",
        "The kernel module drbd is not loaded. Incus's LINSTOR driver refuses to load without it, and no DRBD device can come up.",
        "module drbd, version 9, loaded",
        "modprobe drbd; if that fails, install or build the module for this kernel (dkms status).",
    ),
    failing(
        "host.drbd-module-old",
        "The loaded module drbd is older than version 9. The kernel's own module is 8.4 and cannot serve LINSTOR.",
        "module drbd of version 9 or newer",
        "Install the module of DRBD 9 for this kernel, then: modprobe -r drbd; modprobe drbd.",
        person=True,
    ),
    failing(
        "host.satellite-missing",
        "The program of the LINSTOR satellite is not installed. Incus's LINSTOR driver refuses to load without it.",
        "/usr/share/linstor-server/bin/Satellite",
        "Install the package linstor-satellite.",
        person=True,
    ),
    failing(
        "host.drbd-module-not-installed",
        "There is no module drbd for the running kernel: after an upgrade of the kernel it was mostly not built.",
        "module drbd, version 9, for this kernel",
        "dkms status; dkms autoinstall; modprobe drbd. Or boot the kernel before.",
        person=True,
    ),
    failing(
        "host.drbd-module-in-tree",
        "The only module drbd for the running kernel is the kernel's own, version 8.4, which cannot serve LINSTOR.",
        "module drbd of version 9 or newer",
        "Install DRBD 9 for this kernel (drbd-dkms, or kmod-drbd90), then: modprobe drbd",
        person=True,
    ),
    degraded(
        "host.tool-missing",
        "A program is not installed that LINSTOR needs to bring up a wanted volume.",
        "{tool}",
        "Install the package that holds {tool}; the satellite looks for it only when a controller connects: linstor node reconnect {node}",
    ),
    degraded(
        "host.clock-jumped",
        "The wall clock was set by more than a moment after we had started. Times in logs before and after do not fit together; certificates and tokens may have looked invalid.",
        "a clock that is right from the start",
        "Order what needs it after time-sync.target, and have the hardware clock set right: hwclock --systohc; chronyc tracking",
    ),
    failing(
        "host.kernel-wedged",
        "DRBD in the kernel failed in a way after which it cannot be trusted: programs that ask it may hang for ever. Tidegate starts none any more.",
        "no failed assertion of DRBD in the kernel's log",
        "Reboot this machine. Move what runs here away first, if it still moves. Then look for this line in DRBD's known bugs: journalctl -k -b -1 -g drbd",
        person=True,
    ),
    # --- network -----------------------------------------------------------------------------
    degraded(
        "network.address-missing",
        "This host does not have an address that DRBD is set to replicate over: no peer can connect there.",
        "address {address} on this host",
        "ip address; is the interface up, does its configuration apply? journalctl -b -u systemd-networkd -u networking -u NetworkManager",
    ),
    degraded(
        "network.peer-silent",
        "No address of a peer answers, though this host's own network is in order.",
        "an answer of {peer}",
        "Is {peer} switched on? ping {address}",
    ),
    degraded(
        "network.port-closed",
        "A peer lives and refuses connections to a port of DRBD: the resource is not up there.",
        "DRBD on {peer} listening on {port}",
        "On {peer}: drbdadm status; drbdadm adjust all",
    ),
    degraded(
        "network.port-silent",
        "A peer lives, and connections to a port of its DRBD vanish: a packet filter, or a wrong route.",
        "DRBD on {peer} reachable at {port}",
        "Open DRBD's ports (7000 and up) between the nodes: nft list ruleset on both",
    ),
    # --- DRBD --------------------------------------------------------------------------------
    degraded(
        "drbd.orphan",
        "A DRBD resource is up on this node that belongs to nobody: LINSTOR has no replica of it here, and no file names it. So it is after a node was lost in LINSTOR and made anew.",
        "every resource in DRBD is LINSTOR's, or named in /etc/drbd.d",
        "Look at it: drbdsetup status {resource} --verbose; drbdsetup show {resource} (its disk); linstor resource list --resources {resource}. If nothing needs it here: drbdsetup down {resource}, which takes the device away and deletes nothing. Do not mount or promote it: its data may be old.",
    ),
)
