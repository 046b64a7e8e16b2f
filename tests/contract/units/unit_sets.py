"""Small sets of units for comparison with systemd: some made by hand, each for one rule, others by chance from a seed."""

import random
from pathlib import Path

BARE = "DefaultDependencies=no"
"""Without it every set would drag the whole start of a system along."""


def service(*lines: str, bare: bool = True) -> str:
    unit = "\n".join([*([BARE] if bare else []), *lines])
    return f"[Unit]\n{unit}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


def target(*lines: str, bare: bool = True) -> str:
    return "[Unit]\n" + "\n".join([*([BARE] if bare else []), *lines]) + "\n"


def plain(*names: str) -> dict[str, str]:
    return {f"{name}.service": service() for name in names}


BY_HAND: dict[str, dict[str, str]] = {
    "no order at all": {"boot.target": target("Wants=a.service b.service"), **plain("a", "b")},
    "a chain": {
        "boot.target": target("Wants=a.service b.service c.service"),
        "a.service": service(),
        "b.service": service("After=a.service"),
        "c.service": service("After=b.service"),
    },
    "two that wait for each other": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
    },
    "the same by Before": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("Before=b.service"),
        "b.service": service("Before=a.service"),
    },
    "three, two of them required": {
        "boot.target": target("Requires=a.service b.service", "Wants=c.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=c.service"),
        "c.service": service("After=a.service"),
    },
    "all required: fatal": {
        "boot.target": target("Requires=a.service b.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
    },
    "required through one that is wanted: can be broken": {
        "boot.target": target("Wants=a.service"),
        "a.service": service("Requires=b.service", "After=b.service"),
        "b.service": service("After=a.service"),
    },
    "bound": {
        "boot.target": target("BindsTo=a.service"),
        "a.service": service("BindsTo=b.service", "After=b.service"),
        "b.service": service("After=a.service"),
    },
    "the other has no job: no circle": {
        "boot.target": target("Wants=a.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
    },
    "the other is masked: no circle": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("After=b.service"),
        "b.service": "",
    },
    "the other has no file: no circle": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("After=b.service", "Before=b.service"),
    },
    "the other is refused by systemd: no circle": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("After=b.service"),
        "b.service": "[Unit]\nDefaultDependencies=no\nAfter=a.service\n[Service]\nType=simple\n",
    },
    "with the target itself": {
        "boot.target": target("Wants=a.service"),
        "a.service": service("After=boot.target", "Before=b.service"),
        "b.service": service("Before=boot.target"),
    },
    "the target waits for what it wants, but that waits for it": {
        "boot.target": target("Wants=a.service", bare=False),
        "a.service": service("After=boot.target", bare=False),
        "sysinit.target": target(),
        "basic.target": target(),
    },
    "a target's default order closes the circle": {
        "boot.target": target("Wants=mid.target a.service", bare=False),
        "mid.target": target("Wants=b.service", bare=False),
        "a.service": service("Before=b.service", "After=mid.target", bare=False),
        "b.service": service(bare=False),
        "sysinit.target": target(),
        "basic.target": target(),
    },
    "a service before basic.target": {
        "boot.target": target("Wants=a.service basic.target"),
        "basic.target": target("Requires=sysinit.target", "After=sysinit.target"),
        "sysinit.target": target(),
        "a.service": service("Before=basic.target", bare=False),
    },
    "a service before sysinit.target": {
        "boot.target": target("Wants=a.service basic.target"),
        "basic.target": target("Requires=sysinit.target", "After=sysinit.target"),
        "sysinit.target": target(),
        "a.service": service("Before=sysinit.target", bare=False),
    },
    "a socket after its own service": {
        "boot.target": target("Wants=a.socket a.service"),
        "a.socket": "[Unit]\nDefaultDependencies=no\nAfter=a.service\n[Socket]\nListenStream=127.0.0.1:7\n",
        "a.service": service(),
    },
    "a socket of another service": {
        "boot.target": target("Wants=a.socket b.service"),
        "a.socket": "[Unit]\nDefaultDependencies=no\nAfter=b.service\n[Socket]\nListenStream=127.0.0.1:7\nService=b.service\n",
        "b.service": service(),
    },
    "a timer after what it starts": {
        "boot.target": target("Wants=a.timer a.service"),
        "a.timer": "[Unit]\nDefaultDependencies=no\nAfter=a.service\n[Timer]\nOnBootSec=1h\n",
        "a.service": service(),
    },
    "an alias closes the circle": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("After=other.service"),
        "b.service": service("After=a.service"),
        "other.service": "-> b.service",
    },
    "an instance of a template": {
        "boot.target": target("Wants=t@x.service"),
        "t@.service": service("Wants=a.service", "After=a.service"),
        "a.service": service("After=t@x.service"),
    },
    "specifiers": {
        "boot.target": target("Wants=t@x.service"),
        "t@.service": service("Wants=u@%i.service", "After=u@%i.service"),
        "u@.service": service("After=t@%i.service"),
    },
    "a drop-in adds the order": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service(),
        "b.service": service("After=a.service"),
        "a.service.d/x.conf": "[Unit]\nAfter=b.service\n",
    },
    "an empty After= takes nothing back": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
        "a.service.d/x.conf": "[Unit]\nAfter=\n",
    },
    "a drop-in of the prefix": {
        "boot.target": target("Wants=a-b.service c.service"),
        "a-b.service": service(),
        "c.service": service("After=a-b.service"),
        "a-.service.d/x.conf": "[Unit]\nAfter=c.service\n",
    },
    "a drop-in of the type": {
        "boot.target": target("Wants=a.service b.socket"),
        "a.service": service("Before=b.socket"),
        "b.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=127.0.0.1:7\nService=c.service\n",
        "service.d/x.conf": "[Unit]\nAfter=b.socket\n",
    },
    "wanted by a directory": {
        "boot.target": target(),
        "boot.target.wants/a.service": "-> ../a.service",
        "boot.target.wants/b.service": "-> ../b.service",
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
    },
    "required by a directory": {
        "boot.target": target(),
        "boot.target.requires/a.service": "-> ../a.service",
        "boot.target.requires/b.service": "-> ../b.service",
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
    },
    "lines that go on, comments between": {
        "boot.target": target("Wants=a.service \\", "# not part of it", "  b.service"),
        "a.service": service("After=\\", "; nor this", "b.service"),
        "b.service": service("After=a.service"),
    },
    "quotes": {
        "boot.target": target("Wants=\"a.service\" 'b.service'"),
        "a.service": service('After="b.service"'),
        "b.service": service("After=a.service"),
    },
    "mounts above a path": {
        "boot.target": target("Wants=a.service"),
        "a.service": service("RequiresMountsFor=/srv/pool/x"),
        "srv-pool.mount": "[Unit]\nDefaultDependencies=no\nAfter=a.service\n[Mount]\nWhat=none\nWhere=/srv/pool\nType=tmpfs\n",
    },
    "what is required has no file": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("Requires=missing.service", "After=b.service"),
        "b.service": service("After=a.service"),
    },
    "the anchor requires what has no file": {
        "boot.target": target("Requires=missing.service", "Wants=a.service"),
        "a.service": service(),
    },
    "Requisite": {
        "boot.target": target("Wants=a.service b.service"),
        "a.service": service("Requisite=b.service", "After=b.service"),
        "b.service": service("After=a.service"),
    },
    "Upholds": {
        "boot.target": target("Upholds=a.service b.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
    },
    "two knots": {
        "boot.target": target("Wants=a.service b.service c.service d.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service"),
        "c.service": service("After=d.service"),
        "d.service": service("After=c.service"),
    },
    "an eight": {
        "boot.target": target("Wants=a.service c.service", "Requires=b.service"),
        "a.service": service("After=b.service"),
        "b.service": service("After=a.service c.service"),
        "c.service": service("After=b.service"),
    },
}


def by_chance(seed: int) -> dict[str, str]:
    """A set of up to nine units with orders and requirements as they fall."""
    chance = random.Random(seed)
    names = [f"u{number}.service" for number in range(chance.randint(3, 8))]
    found = {"boot.target": target(f"Wants={names[0]}", f"Requires={names[1]}")}
    for name in names:
        lines = []
        for key, odds in (("After", 0.22), ("Before", 0.12), ("Wants", 0.35), ("Requires", 0.2)):
            others = [other for other in names if other != name and chance.random() < odds]
            if others:
                lines.append(f"{key}={' '.join(others)}")
        found[name] = service(*lines)
    return found


def write(units: dict[str, str], folder: Path) -> None:
    """Write a set as unit files; ``-> x`` is a link to x."""
    for name, text in units.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        else:
            path.write_text(text)
