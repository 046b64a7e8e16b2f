# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for what brings DRBD up, over a directory: ``BASE PROGRAM ARGUMENT...``. Run as a program, by itself.

``drbdadm`` is the real one, and what it calls is answered from here: ``drbdsetup`` is a kernel that knows what it was told, step by
step, and prints it in the form of the recordings (tests/data/drbd); ``lvs``, ``lvchange`` and ``drbdmeta`` likewise. Each step is
counted, and ends us all at the one that ``kill`` names, as systemd or a person does.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BASE, PROGRAM, WORDS = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
KERNEL = BASE / "kernel"
READS = {"status", "show", "dstate", "events2"}


def main() -> int:
    """Be the program; returns its exit code."""
    due = step()
    if due == "before":
        die()
    code = {"drbdadm": adm, "drbdsetup": setup, "drbdmeta": meta, "lvs": lvs, "lvchange": lvchange}[
        PROGRAM
    ]()
    sys.stdout.flush()
    if due == "after":
        die()
    return code


def step() -> str:
    """Count this step; returns whether we are to be ended "before" it or "after" it, or ""."""
    with (BASE / "counting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two may be started at the same time
        count = len(list((BASE / "steps").iterdir()))
        (BASE / "steps" / f"{count:03}-{PROGRAM}").touch()
    at, _, when = (
        (BASE / "kill").read_text().partition(" ") if (BASE / "kill").exists() else ("", "", "")
    )
    return when if at == str(count) else ""


def die() -> None:
    """End the run that we belong to, and whoever called us."""
    (BASE / "kill").unlink()
    while not (BASE / "victim").exists():
        time.sleep(0.01)
    victim = int((BASE / "victim").read_text())
    caller = os.getppid()
    os.kill(victim, signal.SIGKILL)  # first: it must not see the end of what it called
    if caller != victim:
        os.kill(caller, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def log(text: str) -> None:
    """Remember a command that changes something."""
    with (BASE / "log").open("a") as file:
        file.write(f"{text}\n")


def say(text: str) -> None:
    """Answer."""
    sys.stdout.write(f"{text}\n")


def blocked(what: str) -> bool:
    """True when this is to fail."""
    return (BASE / what).exists()


def hang(what: str) -> None:
    """Hang for as long as this is to."""
    while blocked(what):
        time.sleep(0.02)


def fail(text: str, code: int = 10) -> int:
    """Say ``text`` as a program that fails."""
    sys.stderr.write(f"{text}\n")
    return code


def adm() -> int:
    """The real one. It looks for its helpers by PATH when it is called without a directory."""
    if "adjust" in WORDS:
        log(f"adjust {WORDS[-1]}")
        hang("hang-adjust")
    real = (BASE / "real").read_text()
    return subprocess.run(["drbdadm", *WORDS], executable=real, check=False).returncode


# --- the kernel's DRBD -----------------------------------------------------------------------------
def load(name: str) -> dict[str, Any]:
    """The resource as it is."""
    found: dict[str, Any] = json.loads((KERNEL / name).read_text())
    return found


def save(name: str, resource: dict[str, Any]) -> None:
    """Change it at once."""
    beside = KERNEL / f".{name}.{os.getpid()}"
    beside.write_text(json.dumps(resource))
    beside.replace(KERNEL / name)


def names() -> list[str]:
    """All resources."""
    return sorted(path.name for path in KERNEL.iterdir() if path.name[0] != ".")


def of_minor(minor: str) -> tuple[str, str] | None:
    """The resource and the volume that have ``minor``."""
    for name in names():
        for number, volume in load(name)["volumes"].items():
            if volume["minor"] == int(minor):
                return name, number
    return None


def setup() -> int:
    """``drbdsetup``."""
    verb, words = WORDS[0], [word for word in WORDS[1:] if word[:2] != "--"]
    if verb not in READS:
        log(f"{verb} {words[0]}")
    if blocked(f"fail-{verb}"):
        return fail(f"{words[0]}: Failure: (127) Device minor not allocated")
    match verb:
        case "status":
            say(json.dumps([status(name) for name in names()]))
        case "show":
            for name in [words[0]] if words else names():
                say(shown(name) if name in names() else "")
        case "events2":
            say("\n".join([line for name in names() for line in events(name)] + ["exists -"]))
        case "dstate":
            found = of_minor(words[0])
            say(
                "UpToDate"
                if found and load(found[0])["volumes"][found[1]]["disk"]
                else "Unconfigured"
            )
        case "new-resource":
            if words[0] in names():
                return fail(f"{words[0]}: Failure: (162) Invalid configuration request", 10)
            save(words[0], {"id": int(words[1]), "volumes": {}, "peers": {}})
        case "new-minor":
            if of_minor(words[1]):
                return fail(f"{words[1]}: Failure: (161) Minor or volume exists already", 10)
            resource = load(words[0])
            resource["volumes"][words[2]] = {
                "minor": int(words[1]),
                "disk": "",
                "meta": "",
                "client": "--diskless" in WORDS,
            }
            save(words[0], resource)
        case "new-peer" | "new-path" | "connect":
            peer(verb, words)
        case "attach":
            return attach(words)
        case _ if (
            verb in {"primary", "down", "invalidate", "detach", "disconnect"} or "--force" in WORDS
        ):
            log(f"FORBIDDEN {' '.join(WORDS)}")
        case _:
            pass
    return 0


def peer(verb: str, words: list[str]) -> None:
    """A step of a connection."""
    resource = load(words[0])
    if verb == "new-peer":
        label = next(word.partition("=")[2] for word in WORDS if word.startswith("--_name="))
        resource["peers"][words[1]] = {"name": label, "paths": [], "state": "StandAlone"}
    elif verb == "new-path":
        resource["peers"][words[1]]["paths"].append(words[2:4])
    else:
        resource["peers"][words[1]]["state"] = "Connecting"
    save(words[0], resource)


def attach(words: list[str]) -> int:
    """The backing disk must be there."""
    found = of_minor(words[0])
    if found is None:
        return fail(f"{words[0]}: Failure: (127) Device minor not allocated")
    if not (BASE / "root" / words[1].lstrip("/")).exists():
        return fail(f"{words[0]}: Failure: (104) Can not open backing device.")
    resource = load(found[0])
    resource["volumes"][found[1]].update(
        disk=words[1], meta=words[2] if words[2] != words[1] else "internal"
    )
    save(found[0], resource)
    return 0


def status(name: str) -> dict[str, Any]:
    """One resource as ``drbdsetup status --json`` prints it."""
    resource = load(name)
    return {
        "name": name,
        "node-id": resource["id"],
        "role": "Secondary",
        "suspended": False,
        "write-ordering": "flush",
        "devices": [
            {
                "volume": int(number),
                "minor": volume["minor"],
                "disk-state": "UpToDate" if volume["disk"] else "Diskless",
                "client": volume["client"],
                "open": False,
                "quorum": True,
                "size": 262052,
            }
            for number, volume in resource["volumes"].items()
        ],
        "connections": [
            {
                "peer-node-id": int(number),
                "name": one["name"],
                "connection-state": one["state"],
                "peer-role": "Unknown",
                "peer_devices": [],
            }
            for number, one in resource["peers"].items()
        ],
    }


def events(name: str) -> list[str]:
    """One resource as ``drbdsetup events2 --now`` prints it."""
    resource = load(name)
    lines = [
        f"exists resource name:{name} role:Secondary suspended:no force-io-failures:no may_promote:yes promotion_score:10101"
    ]
    for number, one in resource["peers"].items():
        lines.append(
            f"exists connection name:{name} peer-node-id:{number} conn-name:{one['name']} connection:{one['state']} role:Unknown"
        )
    for number, volume in resource["volumes"].items():
        disk = "UpToDate" if volume["disk"] else "Diskless"
        lines.append(
            f"exists device name:{name} volume:{number} minor:{volume['minor']} backing_dev:{volume['disk'] or 'none'} "
            f"disk:{disk} client:no open:no quorum:yes"
        )
    return lines


def shown(name: str) -> str:
    """One resource as ``drbdsetup show`` prints it."""
    resource = load(name)
    lines = [f'resource "{name}" {{', "    _this_host {", f"        node-id {resource['id']};"]
    for number, volume in resource["volumes"].items():
        lines += [f"        volume {number} {{", f"            device minor {volume['minor']};"]
        if volume["disk"]:
            lines += [
                f'            disk "{volume["disk"]}";',
                f"            meta-disk {volume['meta']};",
            ]
        elif volume["client"]:
            lines.append("            disk none;")
        lines.append("        }")
    lines.append("    }")
    for number, one in resource["peers"].items():
        lines += ["    connection {", f"        _peer_node_id {number};"]
        for local, remote in one["paths"]:
            ends = [end.replace(":", " ", 1) for end in (local, remote)]
            lines.append(f"        path {{ _this_host {ends[0]}; _remote_host {ends[1]}; }}")
        lines += [f"        {told}" for told in cstate(one["state"])]
        lines += [f'        net {{ _name "{one["name"]}"; }}', "    }"]
    return "\n".join([*lines, "}", ""])


def cstate(state: str) -> list[str]:
    """How a connection is, in the words of this ``drbdadm``: before 9.32 it was told of StandAlone alone."""
    if (BASE / "utils").read_text() >= "0x0920":
        return [f"_cstate {state};"]
    return ["_is_standalone;"] if state == "StandAlone" else []


# --- metadata and LVM ------------------------------------------------------------------------------
def meta() -> int:
    """``drbdmeta``: what ``meta/MINOR`` says, else good."""
    place = BASE / "meta" / WORDS[0]
    found = place.read_text() if place.exists() else ""
    verb = next((word for word in WORDS if word in {"show-gi", "apply-al", "create-md"}), WORDS[-1])
    if verb not in {"show-gi", "apply-al"}:
        log(f"FORBIDDEN drbdmeta {' '.join(WORDS)}")
    if found == "none":
        return 1
    if verb == "show-gi":
        sectors = 2097152 if found == "big" else 2000
        say(f"last agreed size: {sectors // 2048} MB ({sectors} sectors)")
    return 0


def lvs() -> int:
    """``lvs``; one sick volume group makes it fail, and it lists the others all the same."""
    rows = [
        {
            "vg_name": "vg0",
            "lv_name": path.name,
            "lv_active": "active" if active(path.name) else "",
            "lv_size": "2097152",
        }
        for path in sorted((BASE / "lvs").iterdir())
    ]
    say(json.dumps({"report": [{"lv": rows}], "log": []}))
    return fail("  Cannot process volume group sick", 5) if blocked("sick-group") else 0


def active(name: str) -> bool:
    """True when its device is there."""
    return (BASE / "root/dev/vg0" / name).exists()


def lvchange() -> int:
    """``lvchange``."""
    log(f"lvchange {' '.join(WORDS)}")
    hang("hang-lvchange")
    if blocked("fail-lvchange"):
        return fail("  Check of pool vg0/thinpool failed (status:1). Manual repair required!", 5)
    name = WORDS[-1].removeprefix("vg0/")
    if not active(name):
        (BASE / "root/dev/vg0" / name).symlink_to(f"../dm-{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
