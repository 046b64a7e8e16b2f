# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune`` on machines with each weakness of ``tests.weak_hosts`` built in (issue 9, "It must show" 1).

What is read when somebody asks is put on and off a machine that runs: each must be the only advice. What costs a boot its time is
booted: the list is then in the order of the seconds that were built in. What is ours to change is applied, proven by three boots
more, and taken back to the byte; so is what a person does by hand, where boots can show it.
"""

from tests.lab import dressed, special_devices, tuned, variants
from tests.lab import tale as tales
from tests.lab.dressed import Dressed
from tests.lab.variants import Variant
from tests.weak_hosts import UNIT, WEAK

from tidegate.agent import tunelinks

SAYS = "each weakness built into a machine: the right advice first, apply, boots, result, revert to the byte; none where all is well"
STILL = (
    *("lvm-filter", "zfs-snapshots", "multipath-blacklist", "module-at-boot", "inotify-limit"),
    *("activity-log", "controller-database", "jvm-heap"),
)
"""What is read when somebody asks, and costs this boot nothing. Where what they gain is proven, docs/tune.md says."""
INSTORIES = frozenset(
    {
        *("jvm-flags", "network-online", "devices-first", "orphans", "wake-controller"),
        *("controller-jvm", "autostart-delay", "autostart-priority", "metadata-medium"),
        *("udev-settle", "zfs-import-cache", "boot-weight", "slow-shutdown"),
        *("satellite-restart", "file-limit"),
    }
)
ELSEWHERE = frozenset({"class-archive"})
"""Told by ``special archive``, with a real JVM."""
_LOOKED = {
    "lvmconfig": "echo global_filter=[]; echo use_devicesfile=1; echo event_activation=1",
    "pvs": "echo '  vg0'",
}
_TAKEN_AWAY = (
    "/etc/tidegate/conf.d/50-weak.toml",
    *(f"/var/lib/linstor.d/{name}.res" for name in WEAK["orphans"].kept),
)
_ACTIVATED = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/sleep 1\n"
_SIXTEEN = "os.cpu_count = lambda: 16  # one of the host's own, which has few\n"
_SLOW_DISK = """\
real = os.fdatasync
def synced(number):  # the slow disk: it cannot be had in a namespace, so it is late here
    time.sleep(0.012 * os.readlink(f"/proc/self/fd/{number}").startswith("/srv/slow/"))
    real(number)
os.fdatasync = synced
tunedisks.Below.place = lambda below, where: ("sdb",) if str(where) == "/srv/slow" else ("sda",)
"""


def tell(tale: tales.Tale) -> None:
    """Healthy, then one story after the other; together they have every weakness of the table."""
    told = {*STILL, *INSTORIES, *ELSEWHERE}
    tale.expect(told == set(WEAK), "every weakness of the table is told", told ^ set(WEAK))
    for part, story in STORIES.items():
        if tale.part not in {"", part}:
            continue
        with tale.scene(Variant.AGENT, part) as scene:
            wears = Dressed(scene)
            wears.healthy()
            story(tale, scene, wears)


# --- what is read when somebody asks ---------------------------------------------------------------


def _healthy(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    for name, text in _LOOKED.items():
        wears.write(f"/usr/sbin/{name}", f"#!/bin/sh\n{text}\n")
        scene.each.written(f"/usr/sbin/{name}").chmod(0o755)
    wears.write(f"{dressed.SYSTEM}/lvm-activate-vg0.service", _ACTIVATED)
    scene.each.link(
        f"{dressed.SYSTEM}/multi-user.target.wants/lvm-activate-vg0.service",
        f"{dressed.SYSTEM}/lvm-activate-vg0.service",
    )
    tuned.boot(tale, scene, wears, "healthy")
    said = tuned.tune(scene)
    tale.expect("nothing to advise" in said, "no advice where all is well", said)
    links = scene.each.exec(["networkctl", "list", "--json=short"])
    waited = tunelinks.names_waited(links.encode())
    tale.expect(waited == ("eth0",), "networkd's list of links is read as it is", links)
    image = wears.names[0]
    scene.master.call(
        "PUT",
        f"/v1/resource-definitions/{image}",
        {"override_props": {"Aux/Incus/unpacking": "true"}},
    )
    said = tuned.tune(scene)
    for what in (
        "LVM's settings: devices file 1, event activation 1",
        "activation of vg0 by events: 1.",
        "`drbdadm sh-udev`",
        "`blkid -p of a DRBD device`, ",
        f"each of {len(wears.names)} resources kept here",
        "image volumes left half unpacked by a crash",
        "Incus starts 4 instances, 1 at once",
        "tidegate-agent.service: ",
    ):
        tale.expect(what in said, f"its cost is shown where it gains nothing: {what}", said)
    for name in STILL:
        wears.weaken(name)
        found = tuned.advised(scene)
        tale.expect(list(found) == [name], f"{name} is the advice", found)
        wears.undo()
    said = tuned.tune(scene)
    tale.expect("nothing to advise" in said, "and none when all is off again", said)


# --- what costs a boot its time, changed and proven ----------------------------------------------------


def _ours(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    names = ("network-online", "devices-first", "jvm-flags")
    wears.weaken(*names)
    special_devices.put(scene, wears.names)
    path = f"{dressed.SYSTEM}/tidegate-devices.service.d/lab.conf"
    scene.each.write(path, special_devices.MODULE)
    tuned.boot_often(tale, scene, wears, "weak")
    found = tuned.advised(scene)
    tale.expect(list(found) == list(names), "in the order of what each costs", found)
    before = tuned.tree(scene)
    for name in names:
        tuned.apply(tale, scene, name)
    found = tuned.advised(scene)
    tale.expect(not found, "nothing more is advised once that is applied", found)
    scene.poweroff()
    tuned.boot_often(tale, scene, wears, "applied")
    found = tuned.advised(scene)
    tale.expect("devices-first" not in found, "what is applied is not advised", found)
    for name in names:
        tuned.proven(tale, scene, name)
    for name in names:
        tuned.revert(tale, scene, name)
    tuned.same(tale, scene, before, "all three")


def _control(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """The controller's own start on this host; and what real Incus is set to, changed by hand."""
    delays = WEAK["autostart-delay"].autostart
    wears.weaken("controller-jvm")
    tuned.boot(tale, scene, wears, "to set Incus")
    tuned.put_options(scene, delays)
    tuned.forget(scene)
    tuned.boot_often(tale, scene, wears, "weak")
    found = tuned.advised(scene)
    tale.expect(list(found) == ["autostart-delay", "controller-jvm"], "both are told", found)
    tale.expect(found.get("autostart-delay") == 8.0, "the last delay delays nobody", found)
    before = tuned.tree(scene)
    tuned.apply(tale, scene, "controller-jvm")
    tuned.by_hand(tale, scene, "autostart-delay")
    tuned.put_options(scene, delays, unset=True)
    tuned.put_options(scene, WEAK["autostart-priority"].autostart)
    found = tuned.advised(scene, code=_SIXTEEN)
    tale.expect(
        list(found) == ["autostart-priority"], "priorities cost where starts have room", found
    )
    tuned.put_options(scene, WEAK["autostart-priority"].autostart, unset=True)
    scene.poweroff()
    tuned.boot_often(tale, scene, wears, "applied")
    for name in ("controller-jvm", "autostart-delay"):
        tuned.proven(tale, scene, name)
        tuned.revert(tale, scene, name)
    tuned.same(tale, scene, before, "both")


def _by_hand(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """Three phases of the way, each longer by something that a person takes away."""
    scene.each.write("/srv/slow/there", "")
    scene.each.write("/srv/quick/there", "")
    names = ("metadata-medium", "wake-controller", "orphans")
    wears.weaken(*names)
    tuned.boot_often(tale, scene, wears, "slow metadata, a controller that nobody wakes, orphans")
    words = ("--write-test", "/srv/slow", "--write-test", "/srv/quick")
    found = tuned.advised(scene, *words, code=_SLOW_DISK)
    wanted = ["metadata-medium", "wake-controller", "devices-first", "orphans"]
    tale.expect(list(found) == wanted, "in the order of what each costs", found)
    left = scene.each.exec(["find", "/srv", "-type", "f", "-size", "+0"])
    tale.expect(left == "", "nothing is left of the writes", left)
    for name in names:
        tuned.by_hand(tale, scene, name, *words, code=_SLOW_DISK)
    scene.poweroff()
    wears.move_metadata()
    for path in _TAKEN_AWAY:
        wears.remove(path)
    tuned.boot_often(tale, scene, wears, "moved, woken, taken down")
    for name in names:
        tuned.proven(tale, scene, name)


def _waits(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    for names in (("udev-settle", "lvm-filter"), ("zfs-import-cache", "zfs-snapshots")):
        wears.weaken(*names)
        tuned.boot_often(tale, scene, wears, names[0])
        found = tuned.advised(scene)
        tale.expect(list(found) == list(names), f"{' and '.join(names)} are the advice", found)
        for name in names:
            tuned.by_hand(tale, scene, name)
        scene.poweroff()
        wears.undo()
        tuned.boot_often(tale, scene, wears, f"without {' and '.join(names)}")
        for name in names:
            tuned.proven(tale, scene, name)
        said = tuned.tune(scene)
        tale.expect("nothing to advise" in said, "and none when nothing is waited for", said)
        tuned.forget(scene)


# --- what costs a boot its time: told from one boot ------------------------------------------------


def _weight(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """Processors that others have. Where the host lends no groups that weigh them, what the weight gains is not shown."""
    wears.weaken("boot-weight")
    scene.each.weighs = True
    tuned.boot_often(tale, scene, wears, "short of processors")
    found = tuned.advised(scene)
    tale.expect(list(found) == ["boot-weight"], "the processors are what it waits for", found)
    before = tuned.tree(scene)
    tuned.apply(tale, scene, "boot-weight")
    scene.poweroff()
    tuned.boot_often(tale, scene, wears, "with a weight")
    said = scene.unit(UNIT, "StartupCPUWeight")
    tale.expect(said == "1000", "systemd has the weight", said)
    if scene.each.has_weights:
        tuned.proven(tale, scene, "boot-weight")
    else:
        tale.say("this host's groups weigh no processors: what it gains is not shown")
    tuned.revert(tale, scene, "boot-weight")
    tuned.same(tale, scene, before, "boot-weight")


def _trouble(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """What shortens only a boot in which it happens: so it is made to happen."""
    names = ("jvm-heap", "satellite-restart", "file-limit")
    wears.weaken(*names)
    _until_online(tale, scene, wears, "weak")
    found = tuned.advised(scene)
    tale.expect(sorted(found) == sorted(names), "all three are told", found)
    before = tuned.tree(scene)
    for name in names:
        tuned.apply(tale, scene, name)
    scene.poweroff()
    _until_online(tale, scene, wears, "applied")
    pid = scene.unit(UNIT, "MainPID")
    words = scene.each.exec(["cat", f"/proc/{pid}/cmdline"]).split("\0")
    heap = [word for word in words if word.startswith("-Xmx")]
    tale.expect(heap[1:2] == ["-Xmx900G"] and len(heap) == 3, "the heap's limit is ours", heap)
    limits = scene.each.exec(["grep", "open files", f"/proc/{pid}/limits"])
    tale.expect(int(limits.split()[4]) > 64, "it may open more files", limits)
    scene.each.exec(["kill", "-9", pid])
    again = scene.watch(
        scene.each.now() + tuned.WITHIN, lambda: scene.unit(UNIT, "MainPID") not in {"0", pid}
    )
    tale.expect(again, "a satellite that dies is started again, with no agent there", pid)
    for name in names:
        tuned.revert(tale, scene, name)
    tuned.same(tale, scene, before, "all three")


def _until_online(tale: tales.Tale, scene: tales.Scene, wears: Dressed, where: str) -> None:
    """With no agent a boot is not recorded, and Incus takes a minute for what came late."""
    wears.booting()
    scene.boot(ties=wears.ties())
    there = scene.watch(tuned.WITHIN, lambda: dressed.says("online")(scene.each))
    tale.expect(there, f"{where}: the satellite is up", scene.unit(UNIT))


def _shutdown(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """What is killed at a shutdown is copied at the next start; given its time, it is not. And what the gate takes of a boot, put in meanwhile."""
    wears.weaken("slow-shutdown")
    tuned.boot(tale, scene, wears, "with something that does not end in time")
    scene.tidegate(*variants.SET_UP["gate"][-1])
    tuned.forget(scene)
    tuned.boot_often(tale, scene, wears, "after a shutdown that killed it")
    found = tuned.advised(scene)
    tale.expect(list(found) == ["slow-shutdown"], "the shutdown is the advice", found)
    said = tuned.tune(scene)
    tale.expect(f"and killed {dressed.STUBBORN}" in said, "with what was killed", said)
    tale.expect(f"{tales.GATE}: " in said, "the gate's share is in the list", said)
    tuned.by_hand(tale, scene, "slow-shutdown")
    longer = f"{dressed.SYSTEM}/{dressed.STUBBORN}.d/50-longer.conf"
    wears.write(longer, "[Service]\nTimeoutStopSec=20\n")
    scene.each.exec(["systemctl", "daemon-reload"])
    scene.poweroff()
    tuned.boot_often(tale, scene, wears, "after a shutdown that had its time")
    tuned.proven(tale, scene, "slow-shutdown")
    said = tuned.tune(scene)
    tale.expect("nothing to advise" in said, "and none when nothing is killed", said)
    tale.expect("the shutdown before this boot: " in said, "its seconds are shown", said)


STORIES = {
    "healthy": _healthy,
    "ours": _ours,
    "control": _control,
    "by-hand": _by_hand,
    "waits": _waits,
    "weight": _weight,
    "trouble": _trouble,
    "shutdown": _shutdown,
}
