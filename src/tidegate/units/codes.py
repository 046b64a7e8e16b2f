# SPDX-License-Identifier: Apache-2.0
"""The codes of what can be wrong with a host's units: what each means, what would be right, what to do."""

from collections.abc import Mapping
from typing import Final

from tidegate.core.finding import Finding, Grade
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.health.code import Code, degraded, failing, unknown

_PLAN: Final = "`tidegate units apply` writes the drop-in for it"

CODES: Final[Mapping[str, Code]] = {
    code.code: code
    for code in (
        failing(
            "units.cycle",
            "Units wait for each other in a circle; systemd leaves one of them out, another one at every boot.",
            "an order without circles",
            "take one of the orders away: each is named with the file and line it stands in",
            person=True,
        ),
        failing(
            "units.bad",
            "systemd refuses the unit as its files are.",
            "a unit that systemd loads",
            "`systemd-analyze verify {unit}`, and repair the file it names",
            person=True,
        ),
        failing(
            "units.cannot-start",
            "systemd cannot start the unit as its files are, whoever asks for it.",
            "{unit} and all that it requires, loaded",
            "`systemctl start {unit}` says the same; unmask or install what is named here",
            person=True,
        ),
        degraded(
            "units.no-clean-stop",
            "The unit that stops instances in good order at a shutdown is masked; after a power loss it starts nothing either.",
            "{unit} loaded",
            "`systemctl unmask {unit}`",
        ),
        failing(
            "units.not-started",
            "Nothing starts the unit at boot.",
            "{unit} among the jobs of a boot",
            "`systemctl enable {unit}`",
            person=True,
        ),
        degraded(
            "units.order-without-effect",
            "An order names a unit that this packaging does not have: it does nothing.",
            "an order on incus.service, which every packaging has",
            "remove it; what it was meant for, `tidegate units apply` does",
        ),
        degraded(
            "units.order-bypassed",
            "The order holds a unit that Incus does not wait for: its socket starts it for the first client all the same.",
            "the order on incus.service itself",
            "remove it; what it was meant for, `tidegate units apply` does",
        ),
        failing(
            "units.satellite-start-timeout",
            "The satellite tells systemd that it is ready only after a controller came; without one systemd kills it, and it stays down.",
            "no start time-out for a satellite of Type=notify",
            "remove the drop-in that sets Type=notify; or TimeoutStartSec=infinity and Restart=always beside it",
            person=True,
        ),
        failing(
            "units.waits-for-ever",
            "Incus waits for the satellite itself, the satellite for a controller: without one no instance ever starts, on any pool.",
            "a wait that ends",
            "remove the drop-in that sets Type=notify, or the order: the gate waits with a limit",
            person=True,
        ),
        degraded(
            "units.satellite-not-restarted",
            "A satellite that dies stays dead, and with it every instance on its pools.",
            "Restart=always",
            _PLAN,
        ),
        failing(
            "units.required-hold",
            "Incus requires a unit that may fail: with a client in its socket systemd then tries again and again without a pause.",
            "Wants= instead of Requires=",
            "remove the drop-in that requires it",
            person=True,
        ),
        degraded(
            "units.startup-too-short",
            "Incus may be held longer than incus-startup.service may take: it is killed, and the next shutdown does not stop instances cleanly.",
            "TimeoutStartSec= of incus-startup.service above what Incus may be held",
            _PLAN,
        ),
        degraded(
            "units.stop-order-missing",
            "At a shutdown the satellite goes while instances still use its volumes.",
            "incus.service ordered after linstor-satellite.service",
            _PLAN,
        ),
        degraded(
            "units.stop-too-short",
            "Incus may take five minutes for its operations when it stops; systemd kills it earlier.",
            "TimeoutStopSec= of incus.service of 330 s or more",
            "set it in a drop-in of your own",
        ),
        failing(
            "units.bare-mount-point",
            "The satellite does not wait for the mount below a file-based pool: in the bare mount point it makes all volumes anew, empty.",
            "RequiresMountsFor= with the pool's directory",
            _PLAN,
        ),
        unknown(
            "units.mount-unknown",
            "No mount unit lies below a file-based pool: on the root file system that is right, mounted by other means it cannot be waited for.",
            "the pool's directory on the root file system, or a mount in /etc/fstab",
            "if something else mounts it, write it into /etc/fstab or a mount unit",
        ),
        degraded(
            "units.incus-not-pulled",
            "After a power loss nothing may start Incus: its own check reads what was written at its last clean stop.",
            "core.https_address set, or a unit of the boot that wants incus.service",
            "`tidegate units apply`: with the gate the boot itself starts it, with the guard the agent does; or set core.https_address",
        ),
        degraded(
            "units.fatal-volumes",
            "Incus itself does not start while a volume it keeps on LINSTOR is away.",
            "its images, backups and logs on a local pool",
            "`incus config unset {key}` after moving what lies there; until then only the gate helps",
        ),
        failing(
            "units.deadlock",
            "What must be ready waits for itself.",
            "no loop among what must be ready",
            "{remedy}",
            person=True,
        ),
        unknown(
            "units.controller-unknown",
            "It is not known where the LINSTOR controller runs, so a deadlock cannot be ruled out.",
            "the controllers of this cluster known",
            "run it on the host itself while Incus runs; or say where with --controller",
        ),
        degraded(
            "units.drbd-service",
            "drbd.service is enabled beside LINSTOR: its start may wait for peers for ever, its stop may come under running instances.",
            "the satellite alone, or drbd-reactor, brings resources up",
            "`systemctl disable drbd.service` unless it brings up the controller's own volume",
        ),
        failing(
            "units.driver-path",
            "Incus looks for the satellite at one place only; without it there the LINSTOR driver does not load.",
            "/usr/share/linstor-server/bin/Satellite",
            "make that path a link to {path}",
            person=True,
        ),
        failing(
            "units.started-unordered",
            "In that boot a unit began before what it needs, and nothing in the unit files orders the two.",
            "{then} after {first}",
            "`tidegate units apply` orders what Incus needs; `tidegate units plan` shows how",
        ),
        failing(
            "units.started-at-fork",
            "The order was kept, and it was worth nothing: systemd counts a service of this type as started the moment it is forked.",
            "{then} after {first} is ready",
            "`tidegate units apply`: the gate waits until the storage itself is proven ready",
        ),
        failing(
            "units.started-by-socket",
            "The order is on another unit than the one that has to wait; a client in its socket started that one at once.",
            "the order between {first} and {then} itself",
            "`tidegate units apply` puts the order on incus.service",
        ),
        failing(
            "units.started-without",
            "A unit began without what it needs: nothing starts that at boot.",
            "{first} among the jobs of a boot",
            "`systemctl enable {first}`",
            person=True,
        ),
        failing(
            "units.started-alone",
            "A unit began without what it needs: that should have been started, and no start of it is known of that boot.",
            "{first} started",
            "`systemctl status {first}` and `journalctl -b -u {first}`",
            person=True,
        ),
        failing(
            "units.started-after-cycle",
            "A unit began without what it needs: systemd deleted that one's job, because the units of the boot wait for each other in a circle.",
            "an order without circles",
            "`tidegate units plan` shows the circle, each order with the file and line it stands in",
            person=True,
        ),
        failing(
            "units.started-after-failure",
            "The order was kept, but what was waited for had failed: an order alone lets the rest go on then.",
            "{first} up before {then} begins",
            "`systemctl status {first}`; a satellite that was killed while it waited for a controller: `tidegate units plan` names the time-out",
            person=True,
        ),
        failing(
            "units.started-before-order",
            "A unit began before what it is ordered after: the order was written after that boot, or systemd had not read it.",
            "the order in force since the boot began",
            "it shows at the next boot; `tidegate units verify` says whether systemd has read it",
        ),
        unknown(
            "units.started-unproven",
            "The order was kept, but what is waited for counts as started at its fork, and when it was ready is written nowhere.",
            "{then} after {first} is ready",
            "`tidegate units apply`: the gate waits until the storage itself is proven ready, and writes down when",
        ),
    )
}


def finding(
    code: str,
    subject: Subject,
    observed: str,
    *,
    grade: Grade | None = None,
    instead: str = "",
    **context: str,
) -> Finding:
    """Make a finding of ``code``; ``context`` fills the braces of its texts, ``instead`` takes the place of its remedy.

    Raises KeyError for an unknown code.
    """
    entry = CODES[code]
    return Finding(
        code=code,
        grade=entry.grade if grade is None else grade,
        subject=subject,
        observed=observed,
        expected=entry.expected.format(**context),
        remedy=instead or entry.remedy.format(**context),
        source=Source.SYSTEMD,
        age=0.0,
    )
