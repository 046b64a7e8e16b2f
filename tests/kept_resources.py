# SPDX-License-Identifier: Apache-2.0
"""A node that has just booted, with kept .res files, and stand-ins for the programs that bring DRBD up from them.

``drbdadm`` reads files with the real one where it can; all else is shell, over a directory: which volumes are active, which
resources are up, and a log of every command that would have changed something.
"""

import json
import os
from pathlib import Path

import msgspec

from tidegate.core import ids, wanted

NODE = os.uname().nodename
"""drbdadm finds its own section by this name."""
_RES = """resource "{name}" {{
    on "{node}" {{
        volume 0 {{ disk {disk}; meta-disk internal; device minor {minor}; }}
        node-id 0;
    }}
    on "peer" {{
        volume 0 {{ disk /dev/drbd/this/is/not/used; meta-disk internal; device minor {minor}; }}
        node-id 1;
    }}
    connection {{ host "{node}" address ipv4 10.0.0.1:{minor}; host "peer" address ipv4 10.0.0.2:{minor}; }}
}}
"""
_PROGRAMS = {
    "drbdadm": """
case "$3" in
dump-xml) exec {real} "$@" ;;
adjust)
  echo "adjust $4" >> {base}/log
  [ -e {base}/hang-adjust ] && exec sleep 600
  [ -e {base}/fail-adjust ] && {{ echo "Failure: (127) Device minor not allocated" >&2; exit 10; }}
  : > {base}/up/"$4" ;;
esac
""",
    "drbdmeta": """
case "$(cat {base}/meta/$1 2>/dev/null)" in
"") echo "last agreed size: 1 MB (2000 sectors)" ;;
none) exit 1 ;;
big) echo "last agreed size: 1 GB (2097152 sectors)" ;;
esac
""",
    "drbdsetup": """
printf '['; comma=
for each in $(ls {base}/up); do
  printf '%s{{"name":"%s","node-id":0,"role":"Secondary","suspended":false,"devices":[],"connections":[]}}' "$comma" "$each"
  comma=,
done
echo ']'
""",
    "lvs": """
printf '{{"report":[{{"lv":['; comma=
for each in $(ls {base}/lvs); do
  active=; [ -e {base}/root/dev/vg0/$each ] && active=active
  printf '%s{{"vg_name":"vg0","lv_name":"%s","lv_active":"%s","lv_size":"2097152"}}' "$comma" "$each" "$active"
  comma=,
done
echo ']}}]}}'
""",
    "lvchange": """
echo "lvchange $1 $2 $3" >> {base}/log
[ -e {base}/hang-lvchange ] && exec sleep 600
name=${{3#vg0/}}
ln -sfn ../dm-"$name" {base}/root/dev/vg0/"$name"
""",
}


class Node:
    """The node; ``base`` is an empty directory. ``real`` is the real ``drbdadm``."""

    def __init__(self, base: Path, real: str) -> None:
        self.base = base
        for name in ("up", "meta", "lvs", "bin", "linstor.d", "state", "run"):
            (base / name).mkdir()
        for name in ("dev/vg0", "sys/class/block", "sys/module/drbd", "proc/net"):
            (base / "root" / name).mkdir(parents=True)
        (base / "root/sys/module/drbd/version").write_text("9.3.3\n")
        (base / "root/proc/net/tcp").write_text("head\n")
        for name, text in _PROGRAMS.items():
            path = base / "bin" / name
            path.write_text("#!/bin/sh" + text.format(base=base, real=real))
            path.chmod(0o755)

    def keep(self, name: str, minor: int, *, disk: str | None = None, lv: bool = True) -> Path:
        """Have LINSTOR have left a file of resource ``name``; its logical volume sleeps, or (``lv`` False) has not been found yet."""
        path = self.base / "linstor.d" / f"{name}.res"
        text = _RES.format(node=NODE, name=name, minor=minor, disk=disk or f"/dev/vg0/{name}_00000")
        path.write_text(text)
        if disk is None and lv:
            self.find(name)
        return path

    def find(self, name: str) -> None:
        """Have the logical volume of resource ``name`` been found by LVM."""
        device = self.base / "root/sys/class/block" / f"dm-{name}_00000"
        device.mkdir(exist_ok=True)
        (device / "size").write_text("4096\n")
        (self.base / "root/dev" / f"dm-{name}_00000").touch()
        (self.base / "lvs" / f"{name}_00000").touch()

    def want(self, *names: str) -> None:
        """Keep a map by which instances that start here need these resources."""
        kept = wanted.WantedMap(
            node=ids.NodeName(NODE),
            volumes=tuple(
                wanted.WantedVolume(id=ids.VolumeId.parse(f"{name}/0"), pool=ids.PoolName("remote"))
                for name in names
            ),
        )
        (self.base / "state/wanted.json").write_bytes(msgspec.json.encode(kept))

    def block(self, what: str) -> None:
        """Have ``hang-lvchange``, ``hang-adjust`` or ``fail-adjust``."""
        (self.base / what).touch()

    def start_satellite(self) -> None:
        """Have something listen at port 3366."""
        (self.base / "root/proc/net/tcp").write_text("head\n 0: 00000000:0D26 00000000:0000 0A x\n")

    def log(self) -> list[str]:
        """Every command that would have changed something, in order."""
        path = self.base / "log"
        return path.read_text().splitlines() if path.exists() else []

    def up(self) -> list[str]:
        """The resources that are up."""
        return sorted(path.name for path in (self.base / "up").iterdir())

    def configuration(self, **bringup: object) -> Path:
        """A configuration for this node; ``bringup``: keys of that section."""
        path = self.base / "tidegate.toml"
        texts: dict[str, dict[str, object]] = {
            "agent": {"state_dir": f"{self.base}/state", "run_dir": f"{self.base}/run"},
            "drbd": {"drbdsetup": f"{self.base}/bin/drbdsetup"},
            "host": {"root": f"{self.base}/root"},
            "bringup": {"directory": f"{self.base}/linstor.d", "end": 20.0, **bringup},
        }
        lines = []
        for section, keys in texts.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        path.write_text("\n".join(lines) + "\n")
        return path

    def environment(self) -> dict[str, str]:
        """Variables with which the stand-ins are found."""
        return {**os.environ, "PATH": f"{self.base}/bin:{os.environ['PATH']}"}
