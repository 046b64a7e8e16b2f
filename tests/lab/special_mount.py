# SPDX-License-Identifier: Apache-2.0
"""A mount that the satellite requires fails at boot and can be made later: systemd does not start the satellite again, the agent does.

That is what ``RequiresMountsFor=`` costs, which our drop-in writes for file-based pools: without it the satellite would make every volume
anew, empty, in the bare mount point.
"""

from tests.lab import tale as tales
from tests.lab import variants
from tests.lab.variants import Variant

SAYS = "a mount that the satellite requires comes late: it is started then, and all instances"
LATE = 12.0
WITHIN = 20.0
_PLACE = "/srv/late"
_SOURCE = "/srv/source"
"""At first a file: systemd would make a directory that is missing, and a file cannot be mounted over one."""
_MOUNT = f"{variants.SYSTEM}/srv-late.mount"
_MOUNT_TEXT = f"[Mount]\nWhat={_SOURCE}\nWhere={_PLACE}\nType=none\nOptions=bind\n"
_REQUIRES = f"{variants.SYSTEM}/{tales.SATELLITE}.d/50-late.conf"


def tell(tale: tales.Tale) -> None:
    """One boot; what is to be mounted appears after some seconds."""
    with tale.scene(Variant.GATE_AGENT) as scene:
        scene.each.write(_MOUNT, _MOUNT_TEXT)
        scene.each.write(_SOURCE, "not mounted yet\n")
        scene.each.write(f"{_PLACE}/bare", "the bare mount point\n")
        scene.each.write(_REQUIRES, f"[Unit]\nRequiresMountsFor={_PLACE}\n")
        scene.boot(ties=[tales.SATELLITE_TIE])
        scene.watch(LATE)
        state = scene.unit(tales.SATELLITE)
        tale.expect(state == "inactive", "without its mount the satellite is not started", state)
        scene.each.exec(["rm", _SOURCE])
        scene.each.exec(["mkdir", _SOURCE])
        tale.expect_all_run(scene, LATE + WITHIN, "the mount is possible now")
        state = scene.unit("srv-late.mount")
        tale.expect(state == "active", "and it is mounted", state)
