# SPDX-License-Identifier: Apache-2.0
"""Devices first in its place in a real boot: what it costs the satellite's start, and its limit while ``lvchange`` hangs.

Its programs are stand-ins: no namespace has a DRBD of its own. What they would do is the matter of tests/contract/test_devices_first.py.
"""

import json
from collections.abc import Sequence

from tests.lab import promises, scenarios, seed, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

SAYS = "devices first: its cost before the satellite, and its limit while lvchange hangs"
LIMIT = 20.0
COST = 1.5
"""Seconds by which the satellite may start later when all is quick: the start of one program, and one round of commands."""
SLACK = 3.0
_UNIT = "tidegate-devices.service"
_KEPT = "/var/lib/linstor.d"
_HANGS = "/etc/lab-hang"
MODULE = """[Service]
ExecStartPre=/bin/sh -c "mkdir -p /sys/module/drbd && echo 9.2.16 >/sys/module/drbd/version"
"""
"""The lab's satellite loads the module; on a host it is loaded before (systemd-modules-load)."""
_XML = """<config><resource name="{name}"><host name="{node}"><volume vnr="0"><device minor="{minor}"/>
<disk>/dev/vg0/{name}_00000</disk><meta-disk>internal</meta-disk></volume></host><host name="peer"/>
<connection><host name="{node}"/><host name="peer"/></connection></resource></config>
"""
_PROGRAMS = {
    # The last file that the configuration includes, which comes by standard input, has its answer beside it.
    "drbdadm": 'case "$3" in dump-xml) exec cat "$(sed -n \'$s/include "\\(.*\\)";/\\1.xml/p\')" ;; adjust) : >/run/lab-devices ;; esac',
    "drbdmeta": 'echo "zero size device -- never seen peer yet?"',
    "lvs": "exec cat /etc/lab-lvs.json",
    # A device is what /sys knows by its name; which one does not matter here.
    "lvchange": f"[ -e {_HANGS} ] && exec sleep 600\nmkdir -p /dev/vg0 /dev/lab\n"
    'name=$(cd /sys/class/block && ls -d loop* | head -n 1); : > "/dev/lab/$name"; ln -sf "/dev/lab/$name" "/dev/$3"',
}


def tell(tale: tales.Tale) -> None:
    """Three boots: without it, with it, and with a program that hangs."""
    with tale.scene(Variant.AGENT) as scene:
        scene.healthy()
        plain = _satellite_began(scene)
        kept = json.loads(scene.each.exec(["cat", "/var/lib/tidegate/wanted.json"]))
        scene.poweroff()
        scene.each.write(f"{variants.SYSTEM}/{_UNIT}.d/lab.conf", MODULE)
        wanted = sorted({_resource(volume["id"]) for volume in kept["volumes"]})
        put(scene, wanted)
        scene.each.link(
            f"{variants.SYSTEM}/{tales.SATELLITE}.wants/{_UNIT}", f"{variants.UNITS}/{_UNIT}"
        )
        # The simulated node is OFFLINE for a while, so that DRBD is not up before us.
        what = scenarios.SCENARIOS["s1"]
        scene.boot(what.faults)
        tale.expect_all_run(scene, what.fault_end + promises.HELD * 4, "with it")
        with_it = _satellite_began(scene)
        tale.say(f"the satellite began at {plain:.2f} s without it, at {with_it:.2f} s with it")
        tale.expect(with_it - plain <= COST, f"it costs the satellite {COST} s at most", with_it)
        tale.expect(
            scene.unit(_UNIT, "Result") == "success", "its unit has not failed", scene.unit(_UNIT)
        )
        said = [line for line in scene.journal(_UNIT).splitlines() if ": brought up" in line]
        tale.expect(len(said) == len(wanted), "it has brought up what is wanted", said)
        scene.poweroff()
        scene.each.write(_HANGS, "")
        scene.boot(what.faults)
        tale.expect_all_run(scene, what.fault_end + promises.HELD * 4, "while lvchange hangs")
        late = _satellite_began(scene)
        tale.say(f"the satellite began at {late:.2f} s while lvchange hangs")
        tale.expect(LIMIT <= late <= LIMIT + SLACK, "the satellite is held for the limit", late)


def _resource(volume: object) -> str:
    """The resource of a volume as the kept map writes it: ``RD/NR``, or with both names."""
    return volume.partition("/")[0] if isinstance(volume, str) else str(volume["resource"])  # type: ignore[index]


def _satellite_began(scene: tales.Scene) -> float:
    """Seconds after this machine's PID 1 at which the satellite's process was started."""
    began = int(scene.unit(tales.SATELLITE, "ExecMainStartTimestampMonotonic"))
    show = ["systemctl", "show", "--value", "-p", "UserspaceTimestampMonotonic"]
    return (began - int(scene.each.exec(show))) / 1e6


def put(scene: tales.Scene, resources: Sequence[str]) -> None:
    """Put kept files and stand-in programs into a machine that is down; bringing one up leaves ``/run/lab-devices``."""
    rows = []
    for minor, name in enumerate(resources, start=1000):
        scene.each.write(f"{_KEPT}/{name}.res", "# kept\n")
        scene.each.write(
            f"{_KEPT}/{name}.res.xml", _XML.format(name=name, node=seed.NODE, minor=minor)
        )
        rows.append({"vg_name": "vg0", "lv_name": f"{name}_00000", "lv_active": "", "lv_size": "1"})
    scene.each.write("/etc/lab-lvs.json", json.dumps({"report": [{"lv": rows}]}))
    for name, text in _PROGRAMS.items():
        path = f"/usr/sbin/{name}"
        scene.each.write(path, f"#!/bin/sh\n{text}\n")
        scene.each.written(path).chmod(0o755)
