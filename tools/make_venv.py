# SPDX-License-Identifier: Apache-2.0
"""Make ``.venv`` with exactly the locked packages; standard library only, any Python 3.11 or later.

``run`` installs what the program needs, ``develop`` what its tests need as well. Where Debian's Python lacks the module that
makes virtual environments, root gets it installed, anybody else is told the one command that helps.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = {"run": ("run.lock", "build.lock"), "develop": ("develop.lock",)}
OLDEST = (3, 11)


def main(argv: list[str]) -> int:
    """Make the environment named in ``argv``; returns an exit code."""
    if len(argv) != 1 or argv[0] not in LOCKS:
        print(f"usage: make_venv.py {'|'.join(LOCKS)}", file=sys.stderr)
        return 2
    python = _suitable_python()
    if python is None:
        print(
            "tidegate needs Python 3.11 or later: `apt install python3`, or PYTHON=/path/to/python make …",
            file=sys.stderr,
        )
        return 1
    if not _working_venv() and not _create(python):
        return 1
    return _install(argv[0])


def _suitable_python() -> str | None:
    if sys.version_info >= OLDEST:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(20, 10, -1)]
    return next((found for name in names if (found := shutil.which(name))), None)


def _working_venv() -> bool:
    python = VENV / "bin" / "python"
    return python.exists() and _run([str(python), "-m", "pip", "--version"], quiet=True) == 0


def _create(python: str) -> bool:
    shutil.rmtree(VENV, ignore_errors=True)
    if _run([python, "-c", "import ensurepip, venv"], quiet=True) != 0:
        command = ["apt-get", "install", "-y", "-q", "python3-venv"]
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            print(
                f"this Python cannot make virtual environments; as root: {' '.join(command)}",
                file=sys.stderr,
            )
            return False
        print(f"this Python cannot make virtual environments; running {' '.join(command)}")
        if _run(["apt-get", "update", "-q"], quiet=True) or _run(command, quiet=True):
            print(
                f"that failed; run it by hand and try again: {' '.join(command)}", file=sys.stderr
            )
            return False
    print(f"making .venv with {python}", flush=True)
    return _run([python, "-m", "venv", str(VENV)]) == 0


def _install(what: str) -> int:
    pip = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]
    locks = [part for name in LOCKS[what] for part in ("-r", str(ROOT / "requirements" / name))]
    print(f"installing the locked packages of {' and '.join(LOCKS[what])}", flush=True)
    if code := _run([*pip, "--require-hashes", *locks]):
        return code
    if code := _run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]):
        return code
    (VENV / f".{what}").touch()
    if what == "develop":  # holds all that `run` holds
        (VENV / ".run").touch()
    return 0


def _run(command: list[str], *, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
