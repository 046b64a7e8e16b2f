# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune`` on machines with each weakness of ``tests.weak_hosts`` built in (issue 9, "It must show" 1).

What is read when somebody asks is put on and off a machine that runs: each must be the only advice. What costs a boot its time is
booted: the list is then in the order of the seconds that were built in. What is ours to change is applied, proven by three boots
more, and taken back to the byte; so is what a person does by hand, where boots can show it.
"""

import json
import textwrap
from collections.abc import Mapping

from tests.lab import dressed, special_devices, special_units, variants
from tests.lab import tale as tales
from tests.lab.dressed import Dressed
from tests.lab.variants import Variant
from tests.weak_hosts import SCAN, SETTLE, UNIT, WEAK

from tidegate.agent import tunelinks
from tidegate.core.trouble import Trouble
from tidegate.history import boots
from tidegate.metrics.moments import Moment

SAYS = "each weakness built into a machine: the right advice first, apply, boots, result, revert to the byte; none where all is well"
PAIRS = 3
"""Boots on each side: the fewest by which a clear difference counts."""
WITHIN = 60.0
WRITTEN = 30.0
"""Seconds by which the agent has looked again, at rest, and written that all runs."""
STILL = (
    *("lvm-filter", "zfs-snapshots", "multipath-blacklist", "module-at-boot", "inotify-limit"),
    *("activity-log", "controller-database", "jvm-heap"),
)
"""What is read when somebody asks, and costs this boot nothing."""
IN_STORIES = frozenset(
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
_ACTIVATED = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/sleep 1\n"
_NOW = """\
import os, sys, time
from tidegate.agent import tunecommands, tunedisks
from tidegate.cli import main
tunecommands.SETTLED = 0.0  # the lab's machines do not live for five minutes
"""
_SIXTEEN = "os.cpu_count = lambda: 16  # one of the host's own, which has few\n"
_SLOW_DISK = """\
real = os.fdatasync
def synced(number):  # the slow disk: it cannot be had in a namespace, so it is late here
    time.sleep(0.012 * os.readlink(f"/proc/self/fd/{number}").startswith("/srv/slow/"))
    real(number)
os.fdatasync = synced
tunedisks.Below.place = lambda below, where: ("sdb",) if str(where) == "/srv/slow" else ("sda",)
"""
_GO = "sys.exit(main.main())\n"


def tell(tale: tales.Tale) -> None:
    """Healthy, then one story after the other; together they have every weakness of the table."""
    told = {*STILL, *IN_STORIES, *ELSEWHERE}
    tale.expect(told == set(WEAK), "every weakness of the table is told", told ^ set(WEAK))
    for part, story in _STORIES.items():
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
    boot(tale, scene, wears, "healthy")
    said = tune(scene)
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
    said = tune(scene)
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
        found = advised(scene)
        tale.expect(list(found) == [name], f"{name} is the advice", found)
        wears.undo()
    said = tune(scene)
    tale.expect("nothing to advise" in said, "and none when all is off again", said)


# --- what costs a boot its time: ours to change ----------------------------------------------------


def _ours(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    names = ("network-online", "devices-first", "jvm-flags")
    wears.weaken(*names)
    special_devices.put(scene, wears.names)
    path = f"{dressed.SYSTEM}/tidegate-devices.service.d/lab.conf"
    scene.each.write(path, special_devices.MODULE)
    _boots(tale, scene, wears, "weak")
    found = advised(scene)
    tale.expect(list(found) == list(names), "in the order of what each costs", found)
    before = tree(scene)
    for name in names:
        _apply(tale, scene, name)
    wears.weaken("orphans")
    found = advised(scene)
    tale.expect(list(found) == ["orphans"], "orphans are the advice once that is applied", found)
    scene.poweroff()
    _boots(tale, scene, wears, "applied")
    found = advised(scene)
    tale.expect("devices-first" not in found, "what is applied is not advised", found)
    for name in names:
        proven(tale, scene, name)
    wears.remove("/var/lib/linstor.d/left-1.res")
    for name in names:
        _revert(tale, scene, name)
    _same(tale, scene, before, "all three")


def _control(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """The controller's own start on this host; and what real Incus is set to, changed by hand."""
    delays = WEAK["autostart-delay"].autostart
    wears.weaken("controller-jvm")
    boot(tale, scene, wears, "to set Incus")
    _set(scene, delays)
    _fresh(scene)
    _boots(tale, scene, wears, "weak")
    found = advised(scene)
    tale.expect(list(found) == ["autostart-delay", "controller-jvm"], "both are told", found)
    tale.expect(found.get("autostart-delay") == 8.0, "the last delay delays nobody", found)
    _medium(tale, scene, wears)
    before = tree(scene)
    _apply(tale, scene, "controller-jvm")
    said = tune(scene, "apply", "autostart-delay", "--by-hand")
    tale.expect("noted; make the change now" in said, "what a person does is noted", said)
    _set(scene, delays, unset=True)
    _set(scene, WEAK["autostart-priority"].autostart)
    found = advised(scene, code=_SIXTEEN)
    tale.expect(
        list(found) == ["autostart-priority"], "priorities cost where starts have room", found
    )
    _set(scene, WEAK["autostart-priority"].autostart, unset=True)
    scene.poweroff()
    _boots(tale, scene, wears, "applied")
    for name in ("controller-jvm", "autostart-delay"):
        proven(tale, scene, name)
        _revert(tale, scene, name)
    _same(tale, scene, before, "both")


def _medium(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """Small synced writes cost more than all else, as far as instances wait for them."""
    scene.each.exec(["mkdir", "-p", "/srv/slow", "/srv/quick"])
    wears.weaken("metadata-medium")
    words = ("--write-test", "/srv/slow", "--write-test", "/srv/quick")
    found = advised(scene, *words, code=_SLOW_DISK)
    tale.expect(next(iter(found), "") == "metadata-medium", "slow metadata come first", found)
    left = scene.each.exec(["find", "/srv", "-type", "f"])
    tale.expect(left == "", "nothing is left of the writes", left)


def _wake(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    wears.weaken("wake-controller")
    _boots(tale, scene, wears, "a controller that nobody wakes")
    found = advised(scene)
    tale.expect(list(found) == ["wake-controller"], "rounds that are lost are told", found)
    said = tune(scene, "apply", "wake-controller", "--by-hand")
    tale.expect("noted; make the change now" in said, "what a person does is noted", said)
    scene.poweroff()
    wears.remove("/etc/tidegate/conf.d/50-weak.toml")
    _boots(tale, scene, wears, "woken")
    proven(tale, scene, "wake-controller")


# --- what costs a boot its time: told from one boot ------------------------------------------------


def _waits(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    for names in (("udev-settle", "lvm-filter"), ("zfs-import-cache", "zfs-snapshots")):
        wears.weaken(*names)
        boot(tale, scene, wears, names[0])
        found = advised(scene)
        tale.expect(list(found) == list(names), f"{' and '.join(names)} are the advice", found)
        took = {unit: scene.unit(unit) for unit in (SETTLE, SCAN)}
        tale.say(f"{took}; {found}")
        scene.poweroff()
        wears.undo()
        _fresh(scene)
    boot(tale, scene, wears, "without")
    said = tune(scene)
    tale.expect("nothing to advise" in said, "and none when nothing is waited for", said)


def _weight(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """Processors that others have. This kernel's groups may have no processor controller, so what the weight gains is not shown."""
    wears.weaken("boot-weight")
    boot(tale, scene, wears, "short of processors")
    found = advised(scene)
    tale.expect(list(found) == ["boot-weight"], "the processors are what it waits for", found)
    before = tree(scene)
    _apply(tale, scene, "boot-weight")
    scene.poweroff()
    boot(tale, scene, wears, "with a weight")
    said = scene.unit(UNIT, "StartupCPUWeight")
    tale.expect(said == "1000", "systemd has the weight", said)
    _revert(tale, scene, "boot-weight")
    _same(tale, scene, before, "boot-weight")


def _trouble(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """What shortens only a boot in which it happens: so it is made to happen."""
    names = ("jvm-heap", "satellite-restart", "file-limit")
    wears.weaken(*names)
    _until_online(tale, scene, wears, "weak")
    found = advised(scene)
    tale.expect(sorted(found) == sorted(names), "all three are told", found)
    before = tree(scene)
    for name in names:
        _apply(tale, scene, name)
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
        scene.each.now() + WITHIN, lambda: scene.unit(UNIT, "MainPID") not in {"0", pid}
    )
    tale.expect(again, "a satellite that dies is started again, with no agent there", pid)
    for name in names:
        _revert(tale, scene, name)
    _same(tale, scene, before, "all three")


def _until_online(tale: tales.Tale, scene: tales.Scene, wears: Dressed, where: str) -> None:
    """With no agent a boot is not recorded, and Incus takes a minute for what came late."""
    wears.booting()
    scene.boot(ties=wears.ties())
    there = scene.watch(WITHIN, lambda: dressed.says("online")(scene.each))
    tale.expect(there, f"{where}: the satellite is up", scene.unit(UNIT))


def _shutdown(tale: tales.Tale, scene: tales.Scene, wears: Dressed) -> None:
    """And what the gate takes of a boot, which is put in meanwhile."""
    wears.weaken("slow-shutdown")
    boot(tale, scene, wears, "with something that does not end")
    scene.tidegate(*variants.SET_UP["gate"][-1])
    scene.poweroff()
    boot(tale, scene, wears, "after a shutdown that killed it")
    found = advised(scene)
    tale.expect(list(found) == ["slow-shutdown"], "the shutdown is the advice", found)
    said = tune(scene)
    tale.expect("and killed lab-stubborn.service" in said, "with what was killed", said)
    tale.expect(f"{tales.GATE}: " in said, "the gate's share is in the list", said)


_STORIES = {
    "healthy": _healthy,
    "ours": _ours,
    "control": _control,
    "wake": _wake,
    "waits": _waits,
    "weight": _weight,
    "trouble": _trouble,
    "shutdown": _shutdown,
}


# --- what a person does ----------------------------------------------------------------------------


def boot(tale: tales.Tale, scene: tales.Scene, wears: Dressed, where: str) -> None:
    """Boot, and on until the agent has written down when the last instance ran."""
    wears.booting()
    scene.boot(ties=wears.ties())
    tale.expect(scene.watch_all(WITHIN), f"{where}: every container runs", scene.seen.starts)
    scene.watch(scene.each.now() + WRITTEN, lambda: _is_recorded(scene))


def _boots(tale: tales.Tale, scene: tales.Scene, wears: Dressed, where: str) -> None:
    """:data:`PAIRS` boots; the machine is down before and up after."""
    for number in range(PAIRS):
        boot(tale, scene, wears, where)
        if number < PAIRS - 1:
            scene.poweroff()


def _is_recorded(scene: tales.Scene) -> bool:
    kept = scene.bench.directory / "state/tidegate/history.db"
    found = boots.read_boots(kept, most=1)
    if isinstance(found, Trouble):
        return False
    return any(name == Moment.LAST_INSTANCE for boot in found for name, _, _ in boot.measures)


def _fresh(scene: tales.Scene) -> None:
    """Forget the recorded boots; the machine is down afterwards."""
    if scene.each.running:
        scene.poweroff()
    for path in (scene.bench.directory / "state/tidegate").glob("history.db*"):
        path.unlink()


def _set(
    scene: tales.Scene, options: Mapping[str, Mapping[str, str]], *, unset: bool = False
) -> None:
    """Set options of real Incus's instances, or take them out."""
    for name, said in options.items():
        for key, value in said.items():
            words = ["unset", name, key] if unset else ["set", name, f"{key}={value}"]
            scene.each.exec(["incus", "config", *words])


def tune(scene: tales.Scene, *words: str, code: str = "") -> str:
    """Type ``tidegate tune``; ``code`` is run in front of it."""
    program = [*variants.TIDEGATE[:-2], "-c", textwrap.dedent(f"{_NOW}{code}{_GO}"), "tune"]
    return scene.each.exec([*program, *words], timeout=120, check=False)


def advised(scene: tales.Scene, *words: str, code: str = "") -> dict[str, float]:
    """What is advised, in its order, with the seconds. How busy this machine's host is says nothing of the machine."""
    said = tune(scene, "--format", "json", *words, code=code)
    found = {one["id"]: one["gain"] for one in json.loads(said[said.index("{") :])["advice"]}
    if "boot-weight" in found and len(found) > 1:
        del found["boot-weight"]
    return found


def proven(tale: tales.Tale, scene: tales.Scene, name: str) -> None:
    """Real boots show the gain."""
    said = tune(scene, "result", name)
    tale.say("; ".join(said.splitlines()))
    tale.expect(f"{name}: faster (+" in said, f"{name}: real boots show the gain", said)


def _apply(tale: tales.Tale, scene: tales.Scene, name: str) -> None:
    said = tune(scene, "apply", name)
    tale.expect("written: " in said, f"{name}: apply writes what it says", said)
    said = scene.tidegate("units", "verify", check=False)
    tale.expect("systemd has loaded it" in said, f"{name}: and systemd has it", said)


def _revert(tale: tales.Tale, scene: tales.Scene, name: str) -> None:
    said = tune(scene, "revert", name)
    tale.expect("it counts from the next boot on" in said, f"{name}: taken back", said)


def _same(tale: tales.Tale, scene: tales.Scene, before: dict[str, str], what: str) -> None:
    now = tree(scene)
    differs = sorted(
        path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
    )
    tale.expect(not differs, f"revert of {what} leaves no byte", differs)


def tree(scene: tales.Scene) -> dict[str, str]:
    """All that may be written to, without what the agent writes and the note of what was applied when."""
    others = ("/var/lib/tidegate/tune.json", "/var/lib/tidegate/guarded.json")
    return {path: text for path, text in special_units.tree(scene).items() if path not in others}
