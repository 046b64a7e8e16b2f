# SPDX-License-Identifier: Apache-2.0
"""Finding codes of sources, host, controller, satellite and storage pools."""

from typing import Final

from tidegate.health.code import Code, degraded, failing, unknown

_CONTROLLER = "a LINSTOR controller that answers"
_ONLINE = "the controller shows this node's satellite as ONLINE"

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
    # --- controller --------------------------------------------------------------------------
    failing(
        "controller.refused",
        "The controller's machine answers, but nothing listens on its port.",
        _CONTROLLER,
        "Start it where it runs: systemctl start linstor-controller.",
    ),
    failing(
        "controller.unreachable",
        "The controller's address cannot be reached or resolved.",
        _CONTROLLER,
        "Check network, routes and name resolution towards the controller.",
    ),
    failing(
        "controller.timeout-connect",
        "No answer to a connection: the machine is off, or a packet filter drops it silently.",
        _CONTROLLER,
        "Check that the controller's machine is up and that nothing drops packets to its port.",
    ),
    failing(
        "controller.timeout",
        "The controller takes the connection and does not answer in time.",
        _CONTROLLER,
        "Look at its log: journalctl -u linstor-controller. A hung data base or a full disk are usual causes.",
    ),
    failing(
        "controller.disconnected",
        "The controller closed the connection before its answer was complete.",
        _CONTROLLER,
        "It is probably starting or stopping; otherwise look at: journalctl -u linstor-controller.",
    ),
    failing(
        "controller.tls",
        "The TLS handshake with the controller failed: one side does not accept the other's certificate.",
        "certificates that both sides accept",
        "Check CA, client certificate and key in Tidegate's configuration against the controller's.",
        person=True,
    ),
    failing(
        "controller.unauthorized",
        "The controller wants a user or a token, or refuses the one it got.",
        "credentials that the controller accepts",
        "Give Tidegate the token or user that Incus uses (LS_BEARER_TOKEN_FILE or LS_USERNAME and LS_PASSWORD).",
        person=True,
    ),
    failing(
        "controller.not-linstor",
        "Something answers at the controller's address, and it is not LINSTOR.",
        _CONTROLLER,
        "Correct the controller's address and port (3370, with TLS 3371).",
        person=True,
    ),
    failing(
        "controller.redirected",
        "The controller redirects to HTTPS: it does not serve its API without TLS.",
        "an https:// address",
        "Use the https:// address with port 3371 for the controller.",
        person=True,
    ),
    failing(
        "controller.bad-address",
        "An address of a controller cannot be read.",
        "a list of http:// or https:// addresses",
        "Correct the list of controllers.",
        person=True,
    ),
    failing(
        "controller.garbage",
        "The answer of the controller could not be read.",
        "LINSTOR's JSON",
        "Check that the address leads to LINSTOR directly and not to a proxy's error page.",
    ),
    failing(
        "controller.error",
        "The controller answered with an error of its own.",
        "an answer without an error",
        "Look at: linstor error-reports list, and journalctl -u linstor-controller.",
    ),
    failing(
        "controller.lost-satellite",
        "The controller lost the connection to a satellite while it was asking it, and answered with an error.",
        "an answer without an error",
        "Wait: it is asked again. The finding about the satellite says more.",
    ),
    failing(
        "controller.not-found",
        "The controller does not know what it was asked for.",
        "an answer without an error",
        "Check that node name and controller belong to the same LINSTOR: linstor node list",
    ),
    failing(
        "controller.none-configured",
        "No controller is known: neither Incus's configuration nor the environment nor Tidegate's configuration names one.",
        "the address of a LINSTOR controller",
        "Set storage.linstor.controller_connection in Incus, LS_CONTROLLERS, or controllers in /etc/tidegate/tidegate.toml.",
        person=True,
    ),
    degraded(
        "controller.slow",
        "The controller answers slowly. Every start of an instance asks it several times.",
        "an answer within {limit} s",
        "Look at the load of the controller's machine and at its data base.",
    ),
    # --- satellite ---------------------------------------------------------------------------
    unknown(
        "satellite.not-known",
        "No controller can be asked for the state of this node's satellite.",
        _ONLINE,
        "See the finding about the controller.",
    ),
    failing(
        "satellite.offline",
        "The controller has no connection to this node's satellite.",
        _ONLINE,
        "systemctl status linstor-satellite; if it runs and listens, the controller dials again within 20 s, at once by: linstor node reconnect {node}",
    ),
    failing(
        "satellite.connected",
        "The satellite is connected and its full sync is going on.",
        _ONLINE,
        "Wait: with many resources this takes up to a minute.",
    ),
    failing(
        "satellite.unknown-node",
        "LINSTOR has no node of this name.",
        "a node called {node} in LINSTOR",
        "linstor node list; if LINSTOR names this host otherwise: incus config set storage.linstor.satellite.name NAME",
        person=True,
    ),
    failing(
        "satellite.not-installed",
        "systemd knows no unit of the LINSTOR satellite.",
        "linstor-satellite.service",
        "Install the package linstor-satellite and enable its unit.",
    ),
    failing(
        "satellite.unit-failed",
        "The unit of the LINSTOR satellite failed; nothing starts it again by itself.",
        "{unit} active",
        "journalctl -b -u {unit}; then: systemctl reset-failed {unit}; systemctl start {unit}",
        person=True,
    ),
    failing(
        "satellite.unit-inactive",
        "The unit of the LINSTOR satellite does not run.",
        "{unit} active",
        "systemctl start {unit}; so that it comes by itself: systemctl enable {unit}",
    ),
    failing(
        "satellite.false-online",
        "The controller shows ONLINE, yet the satellite has reported nothing about any resource: it never applied its full sync, or its device manager is stuck.",
        "the state of at least one resource of this node",
        "journalctl -b -u linstor-satellite (look for 'outdated fullsync' or a hanging lvs, zfs, losetup); the cure for the former: linstor node reconnect {node}",
    ),
    failing(
        "satellite.evicted",
        "LINSTOR has evicted this node; it will not connect to its satellite again by itself.",
        "a node that is not evicted",
        "linstor node restore {node}",
        person=True,
    ),
    degraded(
        "satellite.evacuating",
        "LINSTOR is moving all resources away from this node.",
        "a node that is not being evacuated",
        "Nothing, if this is intended; otherwise: linstor node restore {node}",
    ),
    failing(
        "satellite.version-mismatch",
        "Controller and satellite have different versions; LINSTOR does not let them talk.",
        "the same version of LINSTOR on both",
        "Upgrade the older one of linstor-controller and linstor-satellite.",
        person=True,
    ),
    failing(
        "satellite.full-sync-failed",
        "The satellite could not apply what the controller sent. LINSTOR does not try again by itself.",
        _ONLINE,
        "linstor error-reports list; then: linstor node reconnect {node}",
        person=True,
    ),
    failing(
        "satellite.authentication-error",
        "Controller and satellite did not accept each other.",
        _ONLINE,
        "Compare the versions and certificates of controller and satellite; then: linstor node reconnect {node}",
        person=True,
    ),
    failing(
        "satellite.other-controller",
        "The satellite belongs to another controller now.",
        _ONLINE,
        "Make sure that only one controller runs; then: linstor node reconnect {node}",
        person=True,
    ),
    failing(
        "satellite.missing-ext-tools",
        "A resource needs a tool that this host lacks, mostly the DRBD module. LINSTOR does not look again by itself.",
        _ONLINE,
        "linstor node info; install what is missing (modinfo drbd); then: linstor node reconnect {node}",
        person=True,
    ),
    failing(
        "satellite.duplicate-uname",
        "Two nodes of LINSTOR report the same host name.",
        "host names that differ",
        "Correct the host name (uname -n) of one of them and restart its satellite.",
        person=True,
    ),
    failing(
        "satellite.other-status",
        "The controller shows a status that is not ONLINE.",
        _ONLINE,
        "linstor node list; linstor node reconnect {node}",
    ),
    failing(
        "satellite.no-drbd",
        "The satellite says that it cannot do DRBD, and a wanted resource has it.",
        "DRBD among the node's resource layers",
        "linstor node info; mostly the module was missing when it looked: modprobe drbd; linstor node reconnect {node}",
    ),
    # --- storage pools -----------------------------------------------------------------------
    unknown(
        "storage-pool.not-known",
        "Nothing can be said about this storage pool while the controller or this node's satellite cannot be asked.",
        "an answer of the satellite",
        "See the finding about the satellite.",
    ),
    failing(
        "storage-pool.missing",
        "A wanted resource lies in a storage pool that LINSTOR does not have on this node.",
        "storage pool {pool} on node {node}",
        "linstor storage-pool list -n {node}",
        person=True,
    ),
    failing(
        "storage-pool.error",
        "The satellite reports an error of this storage pool; mostly its volume group, zpool or directory is not there.",
        "no error report",
        "linstor storage-pool list -n {node}; then look at the volume group (vgs), the zpool (zpool list) or the mount behind it.",
    ),
    failing(
        "storage-pool.no-capacity",
        "The storage pool shows no capacity: what lies behind it cannot be read.",
        "a real capacity",
        "Look at the volume group (vgs), the zpool (zpool list) or the mount behind it.",
    ),
    degraded(
        "storage-pool.full",
        "The storage pool has no free space. Existing volumes come up; nothing new fits, and a thin pool may fail writes.",
        "free space",
        "Extend the storage pool or delete what is not needed.",
    ),
)
