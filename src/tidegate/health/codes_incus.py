# SPDX-License-Identifier: Apache-2.0
"""Finding codes of Incus, its pools and its instances."""

from typing import Final

from tidegate.health.code import Code, degraded, failing, unknown

_READY = "incusd has finished its own start"

CODES: Final[tuple[Code, ...]] = (
    # --- incus -------------------------------------------------------------------------------
    failing(
        "incus.stopped",
        "incusd does not run. It is never asked then, because its socket would start it.",
        _READY,
        "systemctl start incus.service, if it should run and nothing starts it.",
    ),
    failing(
        "incus.starting",
        "incusd is starting: it mounts pools and sets up networks, and does not answer yet. A controller that hangs makes this long.",
        _READY,
        "Wait; if it stays, see the findings about controller and satellite.",
    ),
    failing(
        "incus.autostart",
        "incusd is starting its instances itself; until it has finished, every start asked of it waits.",
        _READY,
        "Wait: it gives each failing instance three attempts, 5 s apart.",
    ),
    failing("incus.stopping", "incusd is stopping.", _READY, "Nothing, if the machine goes down."),
    failing(
        "incus.lost",
        "incusd should answer and does not.",
        "an answer on Incus's socket",
        "systemctl status incus.service; journalctl -b -u incus.service. As another user than root: is Tidegate allowed to use the socket?",
    ),
    failing(
        "incus.permission",
        "This user may not use Incus's socket.",
        "an answer on Incus's socket",
        "Run it as root or as a member of the group incus-admin.",
        person=True,
    ),
    failing(
        "incus.no-socket",
        "Incus has no socket where it is looked for: it is not installed, or its socket unit does not run.",
        "an answer on Incus's socket",
        "systemctl status incus.socket; another place is given by --incus-socket or in the configuration.",
        person=True,
    ),
    failing(
        "incus.timeout",
        "Incus takes connections and does not answer in time.",
        "an answer on Incus's socket",
        "journalctl -b -u incus.service; a call to a storage controller that hangs is a usual cause.",
    ),
    degraded(
        "incus.evacuated",
        "This cluster member is evacuated or on its way: Incus starts no instance here.",
        "member status Online",
        "Nothing, if this is intended; otherwise: incus cluster restore {member}",
    ),
    # --- pools -------------------------------------------------------------------------------
    unknown(
        "pool.not-known",
        "Incus cannot be asked about this pool yet.",
        "status Created",
        "See the finding about incus.",
    ),
    failing(
        "pool.missing",
        "A wanted instance needs a pool that Incus does not have.",
        "pool {pool}",
        "incus storage list",
        person=True,
    ),
    failing(
        "pool.unavailable",
        "Incus could not mount this pool when it started, and keeps all instances on it stopped. It tries again every 60 s.",
        "status Created",
        "The agent mounts it again the moment its storage is ready; by hand: wait for Incus's next round.",
    ),
    failing(
        "pool.not-loaded",
        "Incus cannot load the driver of this pool. Instances on it use up their three attempts.",
        "a pool that loads",
        "See the finding about the host; Incus loads the pool by itself once the cause is gone.",
    ),
    failing(
        "pool.other-status",
        "Incus shows a status of this pool that is neither Created nor Unavailable.",
        "status Created",
        "incus storage show {pool}; a pool left Pending or Errored has to be created again or deleted.",
    ),
    # --- instances ---------------------------------------------------------------------------
    unknown(
        "instance.not-known",
        "Incus cannot be asked about this instance yet; the map of the last good moment says that it should run.",
        "status Running",
        "See the finding about incus.",
    ),
    failing(
        "instance.stopped",
        "The instance should run and is stopped.",
        "status Running",
        "The agent starts it when all it rests on is ready; by hand: incus start {name} --project {project}",
    ),
    failing(
        "instance.error",
        "Incus shows the instance in a state in which it cannot be started.",
        "status Running",
        "incus info {name} --project {project} --show-log",
    ),
    failing(
        "instance.no-volume",
        "A volume that the instance needs does not exist in LINSTOR, or is not the only one of its name.",
        "one resource definition for each of its volumes",
        "See the finding about the volume: {volume}",
        person=True,
    ),
)
