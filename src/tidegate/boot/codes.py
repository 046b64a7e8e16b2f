# SPDX-License-Identifier: Apache-2.0
"""All causes that a boot can be explained by: what each means, and what to do. Codes are stable."""

from typing import Final

from tidegate.boot import codes_storage
from tidegate.boot.code import AGENT, Code

_PLAN: Final = "`tidegate units plan` shows an order that is proven free of circles and deadlocks; the agent mounts the pool the moment it can be."


CODES: Final = {
    # --- what was hit -----------------------------------------------------------------------------------------------
    "pool.unavailable": Code(
        "Incus could not mount a pool; what lies on it was not started.",
        "Incus tries again every 60 s; sooner: incus admin recover, or the agent.",
        2,
    ),
    "pool.not-loaded": Code(
        "Incus could not load the driver of a pool.",
        "Remove the cause; Incus tries again every 60 s.",
        2,
    ),
    "instance.lost": Code(
        "Incus gave an instance up after its attempts; nobody tries again.", AGENT, 2
    ),
    "instance.late": Code("An instance started only after failed attempts.", AGENT, 1),
    "instance.failed": Code(
        "An instance did not start although its storage was there.",
        "See incus info NAME --show-log.",
        6,
    ),
    "instance.error": Code(
        "An instance did not start, for a reason that is not known here.",
        "See the line itself, and incus info NAME --show-log.",
        4,
    ),
    # --- satellite ----------------------------------------------------------------------------------------------------
    "satellite.late": Code(
        "The satellite was not ready yet when Incus asked for it.",
        f"Make Incus wait, with a limit. {_PLAN} `tidegate tune` makes the satellite start faster.",
        5,
    ),
    "satellite.offline": Code(
        "The controller said that this node is OFFLINE; why, the lines do not tell.",
        "journalctl -u linstor-satellite tells whether it listened, and whether a controller connected.",
        4,
    ),
    "satellite.not-started": Code(
        "No line tells that the satellite was started.",
        "systemctl enable --now linstor-satellite.service",
        7,
    ),
    "satellite.start-timeout": Code(
        "systemd killed the satellite by its start time-out, before a controller had connected.",
        "systemctl start linstor-satellite; then give its unit TimeoutStartSec=infinity and Restart=on-failure, or Type=simple as shipped. `tidegate units plan` does it.",
        9,
    ),
    "satellite.killed": Code(
        "The satellite's process was killed.",
        "systemctl start linstor-satellite; give its unit Restart=on-failure.",
        8,
    ),
    "satellite.failed": Code(
        "The satellite's unit failed.",
        "journalctl -u linstor-satellite; the exit status tells (facts: 20 to 24 are configuration or network).",
        8,
    ),
    "satellite.java": Code(
        "Java could not run the satellite: not there, too old, or started with options that it does not know.",
        "Read the line; then JAVA_HOME, JAVA_OPTS and LINSTOR_SATELLITE_OPTS of the unit (systemctl cat linstor-satellite), and the package of Java.",
        9,
    ),
    "satellite.java-memory": Code(
        "The satellite's Java had no memory left.",
        "Give it a larger heap (-Xmx in JAVA_OPTS), or the host more memory.",
        9,
    ),
    "satellite.port-taken": Code(
        "The satellite could not have its port (3366): another process holds it, or its address is not there.",
        "ss -ltnp 'sport = 3366' tells who; then: systemctl restart linstor-satellite",
        9,
    ),
    "satellite.configuration": Code(
        "The satellite could not read its configuration.",
        "See the line; /etc/linstor/linstor_satellite.toml.",
        9,
    ),
    "satellite.stopped": Code("The satellite was stopped.", "systemctl start linstor-satellite", 7),
    "satellite.no-controller": Code(
        "The satellite listened, and no controller connected to it (it never dials out itself).",
        "Look whether linstor-controller runs where it should, and reaches this node's port 3366.",
        6,
    ),
    "satellite.never-synced": Code(
        "A controller connected, and the satellite never had its full sync.",
        "linstor node reconnect NODE; then the error reports: linstor error-reports list.",
        8,
    ),
    "satellite.never-ready": Code(
        "The satellite's unit stays activating, and everything ordered after it waits.",
        "With Type=notify the unit is ready only after a controller connected and the first run is over: look for the controller. If the controller runs in an instance of this host, that is a deadlock: `tidegate units plan` refuses this order.",
        8,
    ),
    "satellite.false-online": Code(
        "The satellite dropped a full sync as outdated: the node shows ONLINE, and its device manager does not run.",
        "linstor node reconnect NODE",
        9,
    ),
    "satellite.stuck": Code(
        "The satellite's device manager did not get on.",
        "A command it runs hangs (lvs, zfs, losetup): look at its children with ps, and at the error reports.",
        7,
    ),
    "satellite.not-installed": Code(
        "The satellite's program is not there; Incus's driver needs it.",
        "Install linstor-satellite.",
        8,
    ),
    "satellite.tool-missing": Code(
        "The satellite could not use a tool that it needs.",
        "Install the tool, then: linstor node reconnect NODE.",
        7,
    ),
    "satellite.error": Code(
        "The satellite reported errors while it brought up devices.",
        "linstor error-reports list; linstor error-reports show ID.",
        5,
    ),
    # --- controller ---------------------------------------------------------------------------------------------------
    "controller.refused": Code(
        "The controller's machine was there, and nothing listened on its port.",
        "Start it where it runs: systemctl start linstor-controller. List several controllers in Incus if there are several.",
        6,
    ),
    "controller.unreachable": Code(
        "The controller could not be reached.",
        "Check the controller's machine, routes and packet filters.",
        6,
    ),
    "controller.black-holed": Code(
        "Packets to the controller vanished: its machine was off, or a packet filter dropped them silently.",
        "Check the controller's machine and the filters before it. Incus has no time limit here; `tidegate guard` gives it one.",
        7,
    ),
    "controller.hung": Code(
        "The controller took connections and did not answer.",
        "journalctl -u linstor-controller; a hung data base or a full disk are usual. Incus has no time limit here; `tidegate guard` gives it one.",
        7,
    ),
    "controller.no-answer": Code(
        "incusd waited without a word while it set up its pools, as it does when a controller does not answer.",
        "Incus has no time limit here; `tidegate guard` gives it one. Look at the controller and the way to it.",
        6,
    ),
    "controller.name": Code(
        "The controller's name could not be resolved.",
        "Put the address into /etc/hosts, or use addresses in the list of controllers.",
        6,
    ),
    "controller.tls": Code(
        "Controller and Incus did not agree on TLS.", "Check certificates and clocks of both.", 7
    ),
    "controller.denied": Code(
        "The controller refused the credentials.", "Check user and token that Incus uses.", 7
    ),
    "controller.error": Code(
        "The controller answered with an error of its own.",
        "linstor error-reports list; journalctl -u linstor-controller.",
        6,
    ),
    "controller.node-unknown": Code(
        "The controller does not know this node under the name that Incus uses.",
        "Set storage.linstor.satellite.name to the node's name in LINSTOR.",
        7,
    ),
    "controller.away": Code(
        "The controller, or the way to it, was away for a while, and came back to a satellite that ran.",
        "Look at the controller's log and the network of that time.",
        4,
    ),
    "controller.late": Code(
        "The controller came later than the satellite waited for it.",
        "Start it earlier or elsewhere; Tidegate wakes it when the satellite listens.",
        6,
    ),
    "controller.failed": Code(
        "The controller on this host failed or was killed.", "journalctl -u linstor-controller", 7
    ),
    "controller.database": Code(
        "The controller could not use its data base: held by another process, or damaged.",
        "Is a second controller running, here or on another node that shares the files? If it is damaged: restore a backup of /var/lib/linstor (the controller writes one at each upgrade).",
        9,
    ),
    "controller.passphrase": Code(
        "The controller did not know its master passphrase: encrypted volumes stay closed.",
        "linstor encryption enter-passphrase; for the next boot: master_passphrase in the controller's linstor.toml, or the credential of its unit.",
        9,
    ),
    "controller.turns-away": Code(
        "The controller holds this node in a state that does not pass by itself.",
        "linstor node list tells the state. Evicted: linstor node restore NODE. Else, after its cause is gone: linstor node reconnect NODE.",
        8,
    ),
    "controller.version-mismatch": Code(
        "Satellite and controller are of different versions.", "Bring both to the same version.", 8
    ),
    **codes_storage.CODES,
    # --- Incus ----------------------------------------------------------------------------------------------------------
    "incus.panic": Code("incusd crashed.", "systemctl status incus; report it with the trace.", 8),
    "incus.failed": Code(
        "A unit of Incus failed before incusd ran: a command or a file that it needs, its socket, or the unit is masked.",
        "systemctl status incus.service incus.socket; see the lines.",
        8,
    ),
    "incus.ended": Code(
        "incusd's process was killed, or ended without a word why.",
        "systemctl status incus; journalctl -b around that moment: who killed it?",
        8,
    ),
    "incus.fatal": Code(
        "incusd refused to start.",
        "See the error; a volume for images, backups or logs on LINSTOR, or a pending patch, makes an unavailable pool fatal.",
        8,
    ),
    "incus.never-started": Code(
        "incusd was never started in this boot: nothing touched its socket.",
        "Set core.https_address, or: systemctl add-wants multi-user.target incus.service",
        8,
    ),
    "incus.start-timeout": Code(
        "incusd was not ready within its start time-out and was stopped.",
        "See what it waited for; remove that, not the limit.",
        8,
    ),
    "incus.killed": Code(
        "systemd killed incusd because it did not stop in time.", "See what it waited for.", 5
    ),
    "incus.dependency-failed": Code(
        "incusd was not started because something it requires failed.",
        "Use Wants= instead of Requires= for what may fail; see the failed unit.",
        8,
    ),
    "incus.start-limit": Code(
        "systemd gave incusd (or its socket) up: started too often.",
        "systemctl reset-failed incus.service incus.socket; then see why it ended each time.",
        9,
    ),
    "incus.waiting-cluster": Code(
        "incusd waited for other members of its cluster.",
        "Bring all members to the same version.",
        6,
    ),
    "incus.network-failed": Code(
        "Incus could not bring up one of its networks; instances on it were not started.",
        "See the error; Incus tries again every minute.",
        6,
    ),
    "incus.socket-early": Code(
        "Something touched Incus's socket before its start-up check did, and so started incusd early.",
        "Find who: journalctl -b | grep incus; exporters and cron jobs are usual.",
        5,
    ),
    # --- order --------------------------------------------------------------------------------------------------------
    "order.absent": Code(
        "Nothing makes Incus wait until the satellite is ready: its unit counts as started when its process is forked.",
        _PLAN,
        3,
    ),
    "order.broken": Code(
        "The satellite's unit tells when it is ready, and Incus did not wait for it.",
        f"The order is on a unit that does not exist here, or in one direction only. {_PLAN}",
        8,
    ),
    "order.cycle": Code(
        "The order of units held a circle; systemd cut it by throwing a job away.",
        f"`tidegate units verify` names the circle. {_PLAN}",
        9,
    ),
    # --- host ---------------------------------------------------------------------------------------------------------
    "network.late": Code(
        "The network came later than what needs it.",
        "Order what needs it after network-online.target, and enable the wait-online service of the network manager in use.",
        7,
    ),
    "host.power-loss": Code(
        "The boot before ended without a shutdown: power loss, crash or reset.",
        "Nothing to do, if everything came up.",
        1,
    ),
    "host.out-of-memory": Code(
        "The kernel killed a process because memory ran out.",
        "Give the host memory, or the process a limit (JVM: -Xmx).",
        9,
    ),
    "host.disk-full": Code(
        "A file system was full.",
        "df -h; df -i. Journal and data base of Incus and LINSTOR need room.",
        9,
    ),
    "host.io-error": Code("A disk reported errors.", "smartctl -a; replace it.", 8),
    "host.file-system": Code(
        "A file system reported errors or went read-only.",
        "Check it while it is not mounted (fsck, xfs_repair -n); look at its disk.",
        8,
    ),
    "host.hung-task": Code(
        "A process hung in the kernel for minutes.",
        "Look for suspended DRBD devices and dead disks: drbdadm status; dmesg.",
        6,
    ),
    "host.kernel-fault": Code(
        "The kernel reported a fault of its own.", "Report it, with the lines.", 8
    ),
    "host.clock-step": Code(
        "The clock was set while things came up (or the machine slept).",
        "Set it before services start: time-sync.target. Times in logs that know only the wall clock are wrong around it.",
        2,
    ),
    "unit.failed": Code("A unit that others rest on failed.", "systemctl status UNIT", 6),
    # --- our own part ---------------------------------------------------------------------------------------------------
    "gate.timed-out": Code(
        "Tidegate's gate held Incus for its whole limit and then let it go.",
        "See what it waited for; gate.limit is how long it may.",
        4,
    ),
    "gate.held": Code("Tidegate's gate held Incus until storage was ready.", "Nothing to do.", 1),
    "guard.failed": Code(
        "Tidegate's guard hung or failed; Incus met that, not the controller.",
        "journalctl -u tidegate-guard; report it. After two hangs its socket closes, and Incus asks the controllers themselves; for good: tidegate guard disable.",
        8,
    ),
    "guard.held": Code("Tidegate's guard held calls of Incus.", "Nothing to do.", 1),
    "agent.acted": Code(
        "Tidegate mounted pools or started instances that Incus had not.", "Nothing to do.", 1
    ),
}


_HEAD: Final = """\
# Causes

What `tidegate boot explain` finds: one entry per code, by the layer it belongs to. Codes are stable; JSON and comparisons of boots name them. Made from
`tidegate.boot.codes` by `tools/make_docs.py`.
"""


def document() -> str:
    """Return the page on causes."""
    lines = [_HEAD]
    layer = ""
    for code, entry in sorted(CODES.items()):
        if code.partition(".")[0] != layer:
            layer = code.partition(".")[0]
            lines.append(f"## {layer}\n")
        lines.append(f"### `{code}`\n\n{entry.means}\n\n- What to do: {entry.remedy}\n")
    return "\n".join(lines)
