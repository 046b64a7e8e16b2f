# SPDX-License-Identifier: Apache-2.0
"""Findings read as a user reads them: code, subject, what was seen, what to do. One row for each way a node can be hurt."""

from typing import Any

import msgspec
import pytest
from tests import health_facts as facts
from tests.health_facts import C1, MINOR, N1, N2, POOL, RD, THIN, VOL, edit, placement, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.evidence import (
    BackingFacts,
    ClockJump,
    CommandFacts,
    JournalFacts,
    NetworkFacts,
    PeerReach,
    PortAnswer,
    Reach,
    SatelliteLog,
)
from tidegate.core.facts import (
    ControllerFacts,
    HostFacts,
    IncusFacts,
    IncusPhase,
    StoragePoolFacts,
    WarningFacts,
)
from tidegate.core.finding import Finding
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.core.wanted import WantedStorage
from tidegate.health import judge, network
from tidegate.health.view import View

UNIT = "linstor-satellite.service"
POOL_SUBJECT = ids.storage_pool(THIN)


def host(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"drbd_module": "9.3.3", "satellite_present": True}
    return {"host": HostFacts(**(base | more))}


def log(**more: Any) -> dict[str, Any]:
    return {"journal": JournalFacts(satellite=SatelliteLog(**more))}


def controller(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "url": "http://10.88.0.1:3370",
        "version": "1.34.0",
        "rest_api_version": "1.28.0",
        "latency": 0.012,
    }
    return {"controller": ControllerFacts(**(base | more))}


def pool(provider: str = "LVM_THIN", **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": THIN,
        "node": N1,
        "provider": provider,
        "free_kib": 900,
        "total_kib": 1000,
    }
    return {"storage_pools": {THIN: StoragePoolFacts(**(base | more))}}


def backing(place: str, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"place": place, "present": True}
    return host(backings={THIN: BackingFacts(**(base | more))})


def stopped(**more: Any) -> dict[str, Any]:
    return {"instances": {str(C1): facts.instance(status="Stopped", **more)}}


def warning(type_: str, url: str, message: str) -> dict[str, Any]:
    told = WarningFacts(
        uuid="1",
        type=type_,
        status="new",
        location="n1",
        entity_url=url,
        message=message,
        last_seen_at=facts.BOOT_WALL + 50.0,
    )
    return {"warnings": (told,)}


def silent(**more: Any) -> dict[str, Any]:
    return {"placements": {RD: (placement(N1, state_reported=False, **more), placement(N2))}}


def files(mount: str) -> dict[str, Any]:
    kept = WantedStorage(
        pool=THIN, provider="FILE_THIN", place="/srv/lin/p", mount="/srv/lin", device="/dev/sdb1"
    )
    return {
        **pool("FILE_THIN"),
        **backing("/srv/lin/p", mount=mount, device="/dev/sda1"),
        "wanted": facts.kept_map(storage=(kept,)),
    }


def incus(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"phase": IncusPhase.READY, "version": "7.0.2", "server_name": "n1"}
    return {"incus": IncusFacts(**(base | more))}


def ports(answer: PortAnswer) -> dict[str, Any]:
    told = PeerReach(addresses={"10.0.0.2": Reach.ANSWERS}, ports={"10.0.0.2:7000": answer})
    return {"network": NetworkFacts(peers={N2: told})}


LOCKED = silent(layers=("LUKS", "STORAGE")) | controller(passphrase="locked")

CASES: list[tuple[str, Subject, dict[str, Any], str, str]] = [
    # --- host
    ("host.drbd-module-not-installed", ids.HOST, host(drbd_module=None, drbd_file=""), "none for the running kernel", "dkms"),
    ("host.drbd-module-in-tree", ids.HOST, host(drbd_module=None, drbd_file="kernel/drivers/block/drbd/drbd.ko.xz"), "all there is", "DRBD 9"),
    ("host.drbd-module-absent", ids.HOST, host(drbd_module=None, drbd_file="updates/dkms/drbd.ko"), "it is installed (updates/dkms/drbd.ko)", "modprobe drbd"),
    ("host.drbd-module-old", ids.HOST, host(drbd_module="8.4.11"), "version 8.4.11", "modprobe -r drbd"),
    ("host.tool-missing", ids.HOST, host(tools={"drbdadm": False, "drbdsetup": True}), "drbdadm is not installed; layer DRBD needs it", "reconnect n1"),
    ("host.tool-missing", ids.HOST, host(tools={"lvm": False}) | pool(), "storage of kind LVM_THIN needs it", "lvm"),
    ("host.clock-jumped", ids.HOST, host(clock_jump=ClockJump(seconds=-3600.0, at=12.0)), "3600 s back, 12 s after boot", "hwclock"),
    ("host.kernel-wedged", ids.HOST, {"journal": JournalFacts(assertion="drbd odd: ASSERTION FAILED", assertion_at=70.0)}, "ASSERTION FAILED", "Reboot"),
    # --- network
    ("network.address-missing", ids.HOST, {"network": NetworkFacts(local={"10.0.0.1": False})}, "10.0.0.1", "ip address"),
    ("network.peer-silent", ids.HOST, {"network": facts.reach(N2, Reach.SILENT)}, "n2 answers at none", "switched on"),
    ("network.port-closed", ids.HOST, ports(PortAnswer.REFUSED), "n2 refuses connections to 10.0.0.2:7000", "drbdadm"),
    ("network.port-silent", ids.HOST, ports(PortAnswer.SILENT), "does not answer at 10.0.0.2:7000", "nft"),
    # --- controller
    ("controller.too-old", ids.CONTROLLER, controller(version="1.4.2", rest_api_version="1.2.0"), "1.4.2", "Upgrade"),
    ("controller.in-own-instance", ids.CONTROLLER, controller(url="http://10.88.0.7:3370") | {"instances": {str(C1): facts.instance(addresses=("10.88.0.7",))}}, "instance default/c1 of this Incus", "Move the controller"),
    ("controller.on-own-storage", ids.CONTROLLER, host(controller_database="/dev/drbd1000"), "/dev/drbd1000", "drbd-reactor"),
    # --- satellite
    ("satellite.not-contacted", ids.SATELLITE, host(satellite_listens=True) | log(port_at=70.0) | {"nodes": facts.nodes(n1="OFFLINE")}, "port open", "linstor node reconnect n1"),
    ("satellite.sync-slow", ids.SATELLITE, host(satellite_commands=(CommandFacts(command="zfs list -r", since=959.0),)) | {"nodes": facts.nodes(n1="CONNECTED")}, "waits for `zfs list -r` for 41 s", "lock of LVM"),
    ("satellite.first-run", ids.SATELLITE, silent(), "0 of 1 wanted resources reported", "Wait"),
    ("satellite.error-reports", ids.SATELLITE, silent() | log(reports=3, last_report="no space [Report number 1-2-3]"), "3 since it started", "error-reports list"),
    ("satellite.false-online", ids.SATELLITE, silent() | log(outdated_at=61.0, synced_at=61.5), "ignored an outdated full sync", "reconnect"),
    ("satellite.false-online", ids.SATELLITE, silent() | log(waiting=True), "waits for its service-condition", "reconnect"),
    ("satellite.false-online", ids.SATELLITE, silent() | log(run_began_at=62.0), "began 938 s ago and has not ended", "reconnect"),
    ("satellite.no-provider", ids.SATELLITE, host(tools={"lvm": True, "thin_check": True}) | {"nodes": {"n1": facts.node(N1, storage_providers=("DISKLESS",), unsupported={"LVM_THIN": ("lvm not found",)})}}, "it was not when the satellite looked", "reconnect n1"),
    ("satellite.no-interface", ids.SATELLITE, {"nodes": facts.nodes(n1="NO_STLT_CONN")}, "NO_STLT_CONN", "interface create n1"),
    ("satellite.hostname-mismatch", ids.SATELLITE, {"nodes": facts.nodes(n1="HOSTNAME_MISMATCH")}, "HOSTNAME_MISMATCH", "uname -n"),
    ("satellite.start-timeout", ids.SATELLITE, {"nodes": facts.nodes(n1="OFFLINE"), "units": {UNIT: facts.unit(state="failed", result="timeout")}}, "failed (timeout)", "TimeoutStartSec=infinity"),
    ("satellite.start-limit", ids.SATELLITE, {"nodes": facts.nodes(n1="OFFLINE"), "units": {UNIT: facts.unit(state="failed", result="start-limit-hit")}}, "start-limit-hit", "reset-failed"),
    ("satellite.restarting", ids.SATELLITE, {"nodes": facts.nodes(n1="OFFLINE"), "units": {UNIT: facts.unit(state="activating", sub_state="auto-restart", result="exit-code", restarts=4)}}, "4 times so far", "journalctl"),
    # --- storage pools
    ("storage-pool.nearly-full", POOL_SUBJECT, pool(free_kib=30), "3.0%", "lvs"),
    ("storage-pool.mount-missing", POOL_SUBJECT, files("/"), "at the last good moment it lay on /srv/lin (/dev/sdb1)", "mount /srv/lin"),
    ("storage-pool.directory-missing", POOL_SUBJECT, pool("FILE_THIN") | backing("/srv/lin/p", present=False), "/srv/lin/p does not exist", "Do not start the satellite"),
    ("storage-pool.zpool-missing", POOL_SUBJECT, pool("ZFS_THIN") | backing("tank", present=False), "tank is not imported", "zpool import tank"),
    ("storage-pool.no-volume-seen", POOL_SUBJECT, pool("LVM", total_kib=0) | backing("vg0", present=None), "no volume of group vg0", "vgs vg0"),
    # --- volumes
    ("volume.passphrase-missing", ids.volume(VOL), LOCKED, "encrypted", "enter-passphrase"),
    ("volume.passphrase-missing", ids.volume(VOL), silent(layers=("LUKS", "STORAGE")) | log(locked=(RD,)), "encrypted", "enter-passphrase"),
    ("volume.no-quorum", ids.volume(VOL), {"drbd": {RD: facts.drbd_resource(quorum_policy="majority", devices=(facts.drbd_device(quorum=False),), connections=(facts.connection(state="Connecting"),))}, "nodes": facts.nodes(n2="OFFLINE")}, "waits for a peer: n2 (Connecting, its node OFFLINE)", "Bring the missing nodes back"),
    ("device.node-missing", ids.volume(VOL), {"devices": {str(VOL): facts.device(exists=False, errno="ENOENT")}}, f"DRBD has its minor {MINOR}", "udevadm trigger"),
    # --- Incus
    ("incus.restarting", ids.INCUS, incus(phase=IncusPhase.STARTING) | {"units": {"incus.service": facts.unit("incus.service", "activating", restarts=5, result="exit-code")}, "journal": JournalFacts(incus_error="Failed applying patch")}, "5 times again, last end: exit-code; it says: Failed applying patch", "journalctl -b -u incus.service"),
    ("incus.driver-not-loaded", ids.INCUS, incus(drivers=("dir",)), "dir", "host"),
    ("incus.fatal-volume", ids.INCUS, incus(config={"storage.images_volume": "remote/images"}), "storage.images_volume is remote/images", "incus config unset storage.images_volume"),
    ("pool.never-mounted", ids.pool(POOL), {"journal": JournalFacts(unloaded_pools={POOL: "Module not loaded"})}, "Module not loaded", "60 s"),
    ("pool.storage-gone", ids.pool(POOL), {"nodes": facts.nodes(n1="OFFLINE")}, "OFFLINE", "the agent starts what is down"),
    ("instance.given-up", ids.instance(C1), stopped() | warning("Failed to autostart instance", "/1.0/instances/c1?project=default", "open /dev/drbd1002: no such file"), "gave up on it: open /dev/drbd1002", "incus start c1 --project default"),
    ("instance.network-unavailable", ids.instance(C1), stopped(networks=("ovn0",)) | warning("Network unavailable", "/1.0/networks/ovn0?project=default", "no uplink"), "its network ovn0 is unavailable: no uplink", "incus network info ovn0"),
]  # fmt: skip


def findings(subject: Subject, sections: dict[str, Any]) -> tuple[Finding, ...]:
    return judge.judge(world(**sections), HealthPolicy()).about(subject)


@pytest.mark.parametrize(
    ("code", "subject", "sections", "seen", "remedy"), CASES, ids=[case[0] for case in CASES]
)
def test_a_user_is_told(
    code: str, subject: Subject, sections: dict[str, Any], seen: str, remedy: str
) -> None:
    told = {finding.code: finding for finding in findings(subject, sections)}
    assert code in told, set(told)
    assert seen in told[code].observed
    assert remedy in told[code].remedy
    assert "…" not in told[code].remedy + told[code].expected, "a placeholder was not filled"


def test_none_of_it_on_a_healthy_node() -> None:
    report = judge.judge(world(), HealthPolicy())
    assert report.findings == ()


def test_a_snapshot_with_all_of_it_can_be_saved_and_read() -> None:
    for _, _, sections, _, _ in CASES:
        snapshot = world(**sections)
        assert msgspec.json.decode(msgspec.json.encode(snapshot), type=type(snapshot)) == snapshot


def test_several_controllers_which_is_active() -> None:
    urls = ("http://10.88.0.1:3370", "http://10.88.0.2:3370")
    report = judge.judge(world(**controller(configured=urls)), HealthPolicy())
    state = report.state(ids.CONTROLLER)
    assert state is not None
    assert "http://10.88.0.1:3370 (the active one of 2)" in state.summary


def test_a_pool_with_no_capacity_early_in_boot_is_waited_for_and_later_is_trouble() -> None:
    def seen(at: float) -> bool:
        told = judge.judge(world(at=at, **pool(total_kib=0)), HealthPolicy()).about(POOL_SUBJECT)
        assert [one.code for one in told] == ["storage-pool.no-capacity"]
        return told[0].waiting

    assert seen(65.0)
    assert not seen(1000.0)


def test_the_first_run_tells_how_far_it_is_and_how_long_it_takes() -> None:
    other = ids.ResourceName("other")
    two = edit(
        facts.kept_map(),
        volumes=(
            *facts.kept_map().volumes,
            edit(facts.kept_map().volumes[0], id=ids.VolumeId(other, 0)),
        ),
        instances=(edit(facts.kept_map().instances[0], volumes=(VOL, ids.VolumeId(other, 0))),),
    )
    placements = {
        RD: (placement(N1),),
        other: (placement(N1, other, state_reported=False),),
    }
    snapshot = world(at=70.0, wanted=two, silent=(Source.INCUS,), placements=placements)
    told = {one.code: one for one in judge.judge(snapshot, HealthPolicy()).about(ids.SATELLITE)}
    assert told["satellite.first-run"].observed == (
        "1 of 2 wanted resources reported, ONLINE for 10 s; at this pace 10 s more"
    )


def test_the_network_says_nothing_when_nobody_tried() -> None:
    view = View(world(silent=(Source.NETWORK,)), HealthPolicy())
    assert network.judge(view) == []
