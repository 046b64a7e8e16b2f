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
    failing(
        "incus.restarting",
        "incusd ends again and again while it starts. With a storage patch pending after an upgrade, or a volume of its own on a pool that is away, it ends until that pool is there.",
        _READY,
        "journalctl -b -u incus.service says what it ends at; if it is a pool, see the findings about its storage: once that is ready, incusd starts.",
    ),
    degraded(
        "incus.driver-not-loaded",
        "incusd could not load its LINSTOR driver when it started: the DRBD module or the satellite's program was missing. Pools are tried again every 60 s.",
        "linstor among the storage drivers",
        "See the finding about the host; afterwards Incus loads the pools by itself.",
    ),
    degraded(
        "incus.fatal-volume",
        "incusd keeps data of its own on a LINSTOR pool. Is that pool away when incusd starts, it ends with an error, and no instance of any pool starts.",
        "images, backups and logs on a pool that is always there",
        "incus config unset {key}, or move that volume to a local pool. Until then the gate has to hold incusd: tidegate units plan",
    ),
    # --- guard -------------------------------------------------------------------------------
    degraded(
        "guard.down",
        "The guard is enabled and does not answer. Incus asks the controllers themselves, as it did without a guard.",
        "an answer on the guard's socket",
        "systemctl status tidegate-guard.socket tidegate-guard.service; journalctl -b -u tidegate-guard.service",
    ),
    degraded(
        "guard.no-controller",
        "The guard reaches no LINSTOR controller, and tells Incus so at once.",
        "a controller that answers the guard",
        "See the finding about the controller; where that is well, the guard's own addresses are in: tidegate guard status",
    ),
    degraded(
        "guard.certificate",
        "The guard and the controller do not accept each other's certificates: expired, made for another host, of an unknown CA, or missing.",
        "certificates that both sides accept",
        "Renew it where it is kept (Incus's storage.linstor.* keys or Tidegate's [linstor]), then: tidegate guard enable",
    ),
    degraded(
        "guard.bypassed",
        "Incus does not ask the guard: its client moved another controller to the front of its list, or it was started before the guard was enabled.",
        "Incus asks the guard first",
        "systemctl restart incus.service (instances keep running); tidegate guard status",
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
    degraded(
        "pool.never-mounted",
        "Incus shows the pool as Created, though it could not load it when it started and has not mounted it since. Starts on it fail.",
        "a pool that was mounted in this run of incusd",
        "See the finding about the host; Incus tries again every 60 s.",
    ),
    degraded(
        "pool.storage-gone",
        "Incus shows the pool as mounted, and its storage went away since: Incus never looks again. What runs goes on; nothing on it can be "
        "started.",
        "a satellite that is ONLINE",
        "See the finding about the satellite. When it is back nothing has to be mounted again; the agent starts what is down.",
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
    failing(
        "instance.given-up",
        "Incus tried three times to start the instance, and never tries again by itself.",
        "status Running",
        "The agent starts it when all it rests on is ready; by hand: incus start {name} --project {project}",
    ),
    failing(
        "instance.network-unavailable",
        "Incus skipped the instance because a network that it is connected to could not be started. It tries again every 60 s.",
        "network {network} up",
        "incus network info {network}; journalctl -b -u incus.service -g {network}",
    ),
)
