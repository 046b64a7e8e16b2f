# SPDX-License-Identifier: Apache-2.0
"""A node that has just booted, with kept .res files, and stand-ins for the programs that bring DRBD up from them.

``drbdadm`` is the real one; all it calls, and LVM, is played over a directory by :mod:`tests.kept_programs`, which keeps a log of
every command that changes something.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidegate.core import ids, wanted

NODE = os.uname().nodename
"""drbdadm finds its own section by this name."""
_RES = """resource "{name}" {{
    on "{node}" {{
        volume 0 {{ disk {disk}; meta-disk {meta}; device minor {minor}; }}
        node-id 0;
    }}
    on "peer" {{
        volume 0 {{ disk /dev/drbd/this/is/not/used; meta-disk internal; device minor {minor}; }}
        node-id 1;
    }}
    connection {{ host "{node}" address ipv4 10.0.0.1:{minor}; host "peer" address ipv4 10.0.0.2:{minor}; }}
}}
"""
_PROGRAMS = ("drbdadm", "drbdsetup", "drbdmeta", "lvs", "lvchange")
_STAND_IN = Path(__file__).with_name("kept_programs.py")


class Node:
    """The node; ``base`` is an empty directory. ``real`` is the real ``drbdadm``."""

    def __init__(self, base: Path, real: str) -> None:
        self.base = base
        for name in ("kernel", "steps", "meta", "lvs", "bin", "linstor.d", "state", "run"):
            (base / name).mkdir()
        for name in ("dev/vg0", "sys/class/block", "sys/module/drbd", "proc/net"):
            (base / "root" / name).mkdir(parents=True)
        self.load_module("9.3.3")
        (base / "root/proc/net/tcp").write_text("head\n")
        (base / "real").write_text(real)
        told = subprocess.run([real, "--version"], check=True, capture_output=True, text=True)
        (base / "utils").write_text(told.stdout.partition("DRBDADM_VERSION_CODE=")[2][:8])
        for name in _PROGRAMS:
            path = base / "bin" / name
            path.write_text(
                f'#!/bin/sh\nexec {sys.executable} -IS {_STAND_IN} {base} {name} "$@"\n'
            )
            path.chmod(0o755)

    def load_module(self, version: str | None) -> None:
        """Have DRBD's module of ``version`` in the kernel; None: not yet."""
        path = self.base / "root/sys/module/drbd/version"
        path.unlink(missing_ok=True)
        if version is not None:
            path.write_text(f"{version}\n")

    def keep(
        self, name: str, minor: int, *, disk: str | None = None, meta: bool = False, lv: bool = True
    ) -> Path:
        """Have LINSTOR have left a file of resource ``name``; its logical volume sleeps, or (``lv`` False) has not been found yet.

        ``meta``: its metadata lies on a volume of its own.
        """
        path = self.base / "linstor.d" / f"{name}.res"
        text = _RES.format(
            node=NODE,
            name=name,
            minor=minor,
            disk=disk or f"/dev/vg0/{name}_00000",
            meta=f"/dev/vg0/{name}.meta_00000" if meta else "internal",
        )
        path.write_text(text)
        if disk is None and lv:
            self.find(name)
        if meta:
            self.find(f"{name}.meta")
        return path

    def find(self, name: str) -> None:
        """Have the logical volume of resource ``name`` been found by LVM."""
        device = self.base / "root/sys/class/block" / f"dm-{name}_00000"
        device.mkdir(exist_ok=True)
        (device / "size").write_text("4096\n")
        (self.base / "root/dev" / f"dm-{name}_00000").touch()
        (self.base / "lvs" / f"{name}_00000").touch()

    def want(self, *names: str, reserved: Mapping[str, str] | None = None) -> None:
        """Keep a map by which instances that start here need these resources; ``reserved``: LINSTOR alone may bring them up, why."""
        kept = wanted.WantedMap(
            node=ids.NodeName(NODE),
            volumes=tuple(
                wanted.WantedVolume(id=ids.VolumeId.parse(f"{name}/0"), pool=ids.PoolName("remote"))
                for name in names
            ),
            reserved=tuple(
                wanted.Reserved(resource=ids.ResourceName(name), why=why)
                for name, why in (reserved or {}).items()
            ),
        )
        (self.base / "state/wanted.json").write_bytes(msgspec.json.encode(kept))

    def block(self, what: str) -> None:
        """Have ``hang-lvchange``, ``fail-lvchange``, ``hang-adjust``, ``fail-attach``, ``sick-group``."""
        (self.base / what).touch()

    def unblock(self, what: str) -> None:
        """Let go what :meth:`block` held."""
        (self.base / what).unlink()

    def start_satellite(self) -> None:
        """Have something listen at port 3366."""
        (self.base / "root/proc/net/tcp").write_text("head\n 0: 00000000:0D26 00000000:0000 0A x\n")

    def log(self) -> list[str]:
        """Every command that would have changed something, in order."""
        path = self.base / "log"
        return path.read_text().splitlines() if path.exists() else []

    def steps(self) -> list[str]:
        """The programs that were started, in order."""
        found = sorted(path.name for path in (self.base / "steps").iterdir())
        return [name.split("-")[1] for name in found]

    def kill_at(self, step: int, when: str) -> None:
        """Have the run be killed ``when`` ("before" or "after") its program number ``step`` works."""
        (self.base / "kill").write_text(f"{step} {when}")

    def name_victim(self, pid: int) -> None:
        """Say which process that is."""
        beside = self.base / "victim.new"
        beside.write_text(str(pid))
        beside.rename(self.base / "victim")

    def detach(self, name: str) -> None:
        """Have somebody detach the disks of resource ``name``."""
        path = self.base / "kernel" / name
        found = json.loads(path.read_text())
        for volume in found["volumes"].values():
            volume["disk"] = ""
        path.write_text(json.dumps(found))

    def kernel(self) -> dict[str, Any]:
        """DRBD as the kernel has it: every resource with its volumes, disks and connections."""
        places = sorted(path for path in (self.base / "kernel").iterdir() if path.name[0] != ".")
        return {path.name: json.loads(path.read_text()) for path in places}

    def up(self) -> list[str]:
        """The resources that are up: all disks attached, all peers looked for."""
        return [
            name
            for name, found in self.kernel().items()
            if all(each["disk"] or each["client"] for each in found["volumes"].values())
            and all(each["state"] == "Connecting" for each in found["peers"].values())
        ]

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
