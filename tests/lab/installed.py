# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.lab.installed``: Tidegate as docs/install.md puts it onto a host, on a machine of its own; and taken away again.

``packaging/install.sh`` runs in the golden system (with ``python3-venv``, the wheels given beside), a machine is booted on what it made with
devices that come late, agent as packaged and the gate as ``tidegate units apply`` puts it in, and then it is upgraded and uninstalled while
everything runs.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab import controller, golden, host, machine, observe, rig, run, scenarios, seed

SCENARIO = "s5"
_PROJECT = (
    "src",
    "packaging",
    "requirements",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
)
_HOME = "/root/tidegate"
_SCRIPT = f"{_HOME}/packaging/install.sh"
_WHEELS = "/root/wheels"
_NO_INDEX = ("PIP_NO_INDEX=1", f"PIP_FIND_LINKS={_WHEELS}")
_DROP_INS = "/etc/systemd/system/incus.service.d"
_NATIVE = "python3-venv"
_LEARNS = 30.0
_WATCHED = ("/opt", "/usr/local", "/etc")
_TIDEGATE = "/usr/local/bin/tidegate"
_ENABLE = ("systemctl", "enable", "--now", "tidegate-agent.service")
_MAIN_PID = ("systemctl", "show", "--value", "-p", "MainPID", "tidegate-agent.service")
_MAP = "/var/lib/tidegate/wanted.json"


def _overlaid(below: str, layer: Path, script: str, *, timeout: float) -> str:
    command = [sys.executable, "-m", "tests.lab.overlaid", below, str(layer), "sh", "-euc", script]
    try:
        return host.run(command, timeout=timeout)
    finally:
        shutil.rmtree(f"{layer}.work", ignore_errors=True)


def _build_native(layer: Path, base: Path) -> None:
    """The golden system with ``python3-venv``, from the same archive."""
    (layer / "etc/apt/apt.conf.d").mkdir(parents=True)
    (layer / "etc/apt/apt.conf.d/00lab").write_text(host.apt_acquire_settings())
    shutil.copy("/etc/resolv.conf", layer / "etc/resolv.conf")
    script = (
        "export DEBIAN_FRONTEND=noninteractive; apt-get update -q;"
        f"apt-get install -y -q --no-install-recommends {_NATIVE}; apt-get clean;"
        "rm -rf /var/lib/apt/lists/*"
    )
    _overlaid(str(base), layer, script, timeout=300)
    (layer / "etc/apt/apt.conf.d/00lab").unlink()


def _build_wheels(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(target)]
    command += ["--python-version", golden.PYTHON, "--only-binary=:all:", "--require-hashes"]
    for name in ("run.lock", "build.lock"):
        command += ["-r", str(host.PROJECT / "requirements" / name)]
    host.run(command, timeout=600)


def _build_installed(layer: Path, below: str, wheels: Path) -> None:
    home = layer / _HOME.lstrip("/")
    for name in _PROJECT:
        path = host.PROJECT / name
        if path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, home / name, ignore=ignore)
        else:
            shutil.copy(path, home / name)
    shutil.copytree(wheels, layer / _WHEELS.lstrip("/"))
    _overlaid(below, layer, f"export {' '.join(_NO_INDEX)}; {_SCRIPT} install", timeout=300)


def _layers() -> tuple[tuple[Path, ...], Path]:
    """Layers of a machine on which Tidegate was installed, topmost first, and the installed one alone."""
    made = golden.layers()
    key = golden.key_of(str(made.base), _NATIVE)
    native = golden.cached("native", key, lambda at: _build_native(at, made.base), says=_NATIVE)
    locks = host.PROJECT / "requirements"
    key = golden.key_of(golden.PYTHON, locks)
    wheels = golden.cached("wheels", key, _build_wheels, says="the wheels")
    key = golden.key_of(str(native), str(wheels), *(host.PROJECT / name for name in _PROJECT))
    installed = golden.cached(
        "installed",
        key,
        lambda at: _build_installed(at, f"{native}:{made.base}", wheels),
        says="what install.sh makes",
    )
    return (installed, native, made.dress, made.base), installed


def _uncompiled(installed: Path) -> Iterator[Path]:
    for path in (installed / "opt/tidegate/lib").rglob("*.py"):
        if not list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")):
            yield path


def _ours(each: machine.Machine) -> str:
    """Every file of ours outside home directories and what we know, and the directory that was made for one."""
    words = ["find", *_WATCHED, "-name", "*tidegate*", "-o", "-path", _DROP_INS]
    return each.exec(words, check=False)


def _set_up(each: machine.Machine) -> None:
    """What a person does after installing: start the agent, which learns what is wanted, and have the boot ordered."""
    each.exec(_ENABLE)
    until = time.monotonic() + _LEARNS
    while not all(f'"{name}"' in _text(each.inside(_MAP)) for name in seed.INSTANCES):
        if time.monotonic() > until:
            raise host.LabError(f"no complete {_MAP} after {_LEARNS:.0f} s")
        time.sleep(run.POLL)
    for verb in ("apply", "verify"):
        each.exec([_TIDEGATE, "units", verb], timeout=60)


def _upgrade(each: machine.Machine) -> list[str]:
    """Install over what runs; returns what was not as promised."""
    before = each.exec(_MAIN_PID)
    told = each.exec(["env", *_NO_INDEX, _SCRIPT, "install"], timeout=300)
    wrong = []
    if each.exec(_MAIN_PID).strip() in {before.strip(), "0"}:
        wrong.append(f"the agent was not started anew by an upgrade:\n{told}")
    if "and systemd has loaded it" not in told:
        wrong.append(f"an upgrade to the same version says of the units:\n{told}")
    return wrong


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _try(each: machine.Machine, master: controller.Controller) -> list[str]:
    """Boot with late devices, look, uninstall; returns what was not as promised."""
    fault_end = scenarios.SCENARIOS[SCENARIO].fault_end
    watch = observe.Watch(each, seed.INSTANCES)
    until = fault_end + 30.0
    while not (watch.all_run and watch.ask_first_pass()) and each.now() < until:
        watch.look()
        master.check()
        time.sleep(run.POLL)
    wrong = [
        f"{name} was started at {starts[0]:.1f}, before its storage was there"
        for name, starts in watch.starts.items()
        if starts and starts[0] < fault_end
    ]
    wrong += [f"{name} does not run" for name in seed.INSTANCES if not watch.running(name)]
    status = each.exec([_TIDEGATE, "status"], check=False)
    if "nothing to do" not in status:
        wrong.append(f"tidegate status says:\n{status}")
    for unit in ("tidegate-agent.service", "tidegate-ready.service"):
        state = each.exec(["systemctl", "is-active", unit], check=False).strip()
        if state != "active":
            wrong.append(f"{unit} is {state}")
    wrong += _upgrade(each)
    told = each.exec([_SCRIPT, "uninstall"], check=False, timeout=60)
    if left := _ours(each).split():
        wrong.append(f"left after uninstall: {' '.join(left)}\n{told}")
    watch.look()
    wrong += [
        f"{name} was stopped by upgrade or uninstall"
        for name in seed.INSTANCES
        if not watch.running(name)
    ]
    started = {name: len(starts) for name, starts in watch.starts.items()}
    wrong += [f"{name} was started {count} times" for name, count in started.items() if count > 1]
    return wrong


def main() -> int:
    """Do it all once; returns an exit code."""
    if reason := host.missing():
        print(f"the boot lab needs what this host does not have: {reason}")
        return 3
    lower, installed = _layers()
    wrong = [f"not compiled: {path}" for path in _uncompiled(installed)]
    state = seed.stock(golden.layers())
    with rig.rig("installed") as bench:
        kept = bench.directory / "state"
        seed.copy(state, kept)
        drbd = bench.directory / "drbd"
        binds = (machine.Bind(source=drbd, target="/run/lab/drbd", readonly=True),)
        each = bench.add_machine(seed.NODE, f"{seed.ADDRESS}/24", lower, kept, binds)
        with controller.Controller(bench, state=kept, drbd=drbd) as master:
            each.start(bench.network)
            master.booting(each)
            each.wait()
            _set_up(each)
            each.poweroff()
            master.down()
            each.start(bench.network)
            master.booting(each, scenarios.SCENARIOS[SCENARIO].faults)
            wrong += _try(each, master)
            each.kill()
        if wrong:
            print(observe.journal(each.journal)[-6000:])
    for line in wrong:
        print(f"BROKEN PROMISE {line}")
    print("installed, ran, upgraded, uninstalled" if not wrong else "not as docs/install.md says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
