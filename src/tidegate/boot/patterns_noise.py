# SPDX-License-Identifier: Apache-2.0
"""What LINSTOR and Incus say at every start and that means nothing for a boot: known, so that it does not stand among what nobody knows."""

from typing import Final

from tidegate.boot.pattern import Pattern, Program


def _noise(program: Program, *lines: tuple[str, str]) -> tuple[Pattern, ...]:
    """Return the patterns of lines that mean nothing; each is a literal and a sample."""
    return tuple(
        Pattern(program=program, literal=literal, sample=sample) for literal, sample in lines
    )


PATTERNS: Final = (
    *_noise(
        Program.LINSTOR,
        ("Version:     ", "Version:            1.34.0 (3e9306a9d8215606544c64c50ced150625ee4926)"),
        ("Build time: ", "Build time:         2026-06-02T10:45:56+00:00 Log v2"),
        ("Java VM: ", "Java VM:            Debian, Version 21.0.12.1+1-1-deb13u1-Debian"),
        ("Operating system: ", "Operating system:   Linux, Version 6.12.107"),
        ("Environment: ", "Environment:        amd64, 1 processors, 1979 MiB memory reserved"),
        ("System components init", "System components initialization in progress"),
        ("LINSTOR Satellite ", "LINSTOR Satellite 1.34.0"),
        ("LINSTOR Controller ", "LINSTOR Controller 1.34.0"),
        ("Loading configuration file", 'Loading configuration file "/etc/linstor/linstor.toml"'),
        ("ErrorReporter DB version", "INFO ErrorReporter DB version 1 found."),
        ("Log directory set to", "INFO Log directory set to: '/var/log/linstor-satellite'"),
        ("Cryptography provider", "INFO Cryptography provider: Using default cryptography module"),
        ("Initializing main network", "INFO Initializing main network communications service"),
        ("INFO Node '", "INFO Node 'n1' created."),
        ("' updated.", "INFO Storage pool 'lvmthin' for node 'n1' updated."),
        ("regenerated resource file", "INFO DRBD regenerated resource file: /var/lib/linstor.d/r.res"),
        ("INFO Aligning ", "INFO Aligning odd/0 size from 49200 KiB to 53248 KiB"),
        ("] resized", "INFO Volume number 0 of resource 'both' [FILE THIN] resized"),
        ("unknown property key", "WARN Ignoring unknown property key: DrbdOptions/Disk/block-size"),
        ("Shutting down worker", "INFO Shutting down worker thread pool"),
        ("Shutdown complete", "INFO Shutdown complete"),
        ("' authenticated", "INFO Satellite 'n2' authenticated"),
        ("Sending authentication", "INFO Sending authentication to satellite 'n1'"),
        ("Sending full sync", "INFO Sending full sync to Node: 'n2'."),
        ("error reports; count", "INFO Assembled error reports; count 28"),
        ("BalanceResourcesTask", "INFO BalanceResourcesTask/START"),
        ("LogArchive: ", "INFO LogArchive: No logs to archive."),
        ("load from database", "INFO Core objects load from database completed"),
        ("Database type is", "INFO Database type is SQL"),
        ("INFO Initializing ", "INFO Initializing authentication subsystem"),
        ("INFO Reconnect", "INFO Reconnecting to previously known nodes"),
        ("INFO SQL database", "INFO SQL database is H2 1.4.197 (2018-03-18)"),
        ("Removed from reconnectList", "INFO Node n1 has connected. Removed from reconnectList, added to pingList."),
        ("removed from retry", "INFO RetryTask: Failed resource 'both' of node 'n1' removed from retry."),
        ("org.glassfish.", "Nov 23, 2026 7:46:54 AM org.glassfish.grizzly.http.server.HttpServer start"),
    ),
    *_noise(
        Program.INCUS,
        ("System idmap", 'level=info msg="System idmap (root user):"'),
        ("Linstor client", 'level=info msg="Creating new Linstor client" controllerConnection="http://10.99.0.1:3370"'),
        ("Connected to Linstor", 'level=info msg="Connected to Linstor Controller" version="{1.33.2}"'),
        ("filesystem monitor", 'level=info msg="Initialized filesystem monitor" driver=fanotify path=/dev'),
        ("Instance type operational", 'level=info msg="Instance type operational" driver=lxc type=container'),
        ("Firewall loaded driver", 'level=info msg="Firewall loaded driver" driver=nftables'),
        ("client certificate to server", 'level=info msg="Set client certificate to server certificate" fingerprint=5ad3'),
        ("Starting database node", 'level=info msg="Starting database node" id=1 local=1 role=voter'),
        ("Binding socket", 'level=info msg="Binding socket" socket=/var/lib/incus/unix.socket type="REST API Unix socket"'),
        ("seccomp handler", 'level=info msg="Started seccomp handler" path=/run/incus/seccomp.socket'),
    ),
)  # fmt: skip
"""Tried last: a line that means something is never taken for noise."""
