# SPDX-License-Identifier: Apache-2.0
"""``units apply``, ``verify`` and ``remove`` on a host that runs, for every strategy: systemd has it, and every byte comes back.

Besides, what systemd's own tools say of our units: nothing wrong, and how far each is shut in (issue 5, "It must show" 6).
"""

import hashlib
import os
import re
import stat
from pathlib import Path

from tests.lab import tale as tales
from tests.lab import variants
from tests.lab.variants import Variant

SAYS = (
    "units apply, verify and remove on a running host, byte for byte; systemd-analyze of our units"
)
EXPOSURE = {variants.AGENT_UNIT: 2.6, tales.GATE: 1.5, "tidegate-guard.service": 1.5}
_TREES = ("/etc", "/usr/local", "/var/lib/tidegate")
_OF_THE_AGENT = re.compile(r"/var/lib/tidegate/(history|wanted|learned|recovery)")


def tree(scene: tales.Scene) -> dict[str, str]:
    """Each path below what we may write to, with its kind, mode and contents."""
    found = {}
    for top in _TREES:
        for folder, folders, files in os.walk(scene.each.inside(top)):
            for name in (*folders, *files):
                path = Path(folder, name)
                told = f"{top}{str(path)[len(str(scene.each.inside(top))) :]}"
                if not _OF_THE_AGENT.match(told):
                    found[told] = _content(path)
    return found


def _content(path: Path) -> str:
    seen = path.lstat()
    kind = f"{stat.filemode(seen.st_mode)} {seen.st_uid}:{seen.st_gid}"
    if stat.S_ISLNK(seen.st_mode):
        return f"{kind} -> {path.readlink()}"
    if stat.S_ISREG(seen.st_mode):
        return f"{kind} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return kind


def tell(tale: tales.Tale) -> None:
    """One running machine, every strategy after the other."""
    with tale.scene(Variant.AGENT) as scene:
        scene.healthy()
        variants.await_map(scene.each)
        before = tree(scene)
        for strategy in sorted(variants.HOLDING):
            _there_and_back(tale, scene, strategy, before)
        _drift(tale, scene)
        _analyze(tale, scene)


def _there_and_back(
    tale: tales.Tale, scene: tales.Scene, strategy: str, before: dict[str, str]
) -> None:
    for words in variants.SET_UP[strategy]:
        scene.tidegate(*words)
    said = scene.tidegate("units", "verify", check=False)
    tale.expect("systemd has loaded it" in said, f"{strategy}: verify finds nothing", said)
    if strategy in variants.HOLDING:
        after = scene.unit("incus.service", "After").split()
        tale.expect(tales.GATE in after, f"{strategy}: systemd orders Incus after the gate", after)
    said = scene.tidegate(*variants.SET_UP[strategy][-1], check=False)
    tale.expect("nothing to do" in said, f"{strategy}: applied twice is applied once", said)
    scene.tidegate("units", "remove")
    now = tree(scene)
    differs = sorted(
        path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
    )
    tale.expect(not differs, f"{strategy}: remove restores every byte", differs)
    after = scene.unit("incus.service", "After").split()
    tale.expect(tales.GATE not in after, f"{strategy}: removed from systemd's memory too", after)


def _drift(tale: tales.Tale, scene: tales.Scene) -> None:
    """What a person or a package changes afterwards is seen, and put right by applying again."""
    apply, verify = variants.SET_UP["gate"][-1], ("units", "verify")
    scene.tidegate(*apply)
    ours = scene.each.inside(f"{variants.SYSTEM}/incus.service.d/60-tidegate-gate.conf")
    ours.write_text(ours.read_text().replace("After=", "#After="))
    said = scene.tidegate(*verify, check=False)
    tale.expect("60-tidegate-gate.conf" in said, "verify sees that a drop-in was edited", said)
    scene.tidegate(*apply)
    packaged = scene.each.inside("/usr/lib/systemd/system/incus.service")
    text = packaged.read_text()
    packaged.write_text(f"{text}# another version of the package\n")
    said = scene.tidegate(*verify, check=False)
    tale.expect("daemon-reload" in said, "verify sees that a package changed its unit", said)
    scene.each.exec(["systemctl", "daemon-reload"])
    said = scene.tidegate(*verify, check=False)
    tale.expect("systemd has loaded it" in said, "and nothing more after a daemon-reload", said)
    scene.tidegate("units", "remove")


def _analyze(tale: tales.Tale, scene: tales.Scene) -> None:
    units = [path.name for path in variants.packaged()]
    said = scene.each.exec(["systemd-analyze", "verify", "--man=no", *units], check=False)
    ours = [line for line in said.splitlines() if "tidegate" in line and "/opt/" not in line]
    tale.expect(not ours, "systemd-analyze verify has nothing against our units", ours)
    for unit in units:
        if unit not in EXPOSURE:
            continue
        said = scene.each.exec(["systemd-analyze", "security", "--no-pager", unit], check=False)
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        value = float(level[1]) if level else 99.0
        tale.expect(
            value <= EXPOSURE[unit], f"{unit}: exposure at most {EXPOSURE[unit]} ({value})", value
        )
