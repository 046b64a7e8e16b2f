# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.lab``: the boot lab. ``check`` says whether this host can run it; ``run``, ``quick``, ``full`` and ``special`` boot;
``clean`` removes.

Exit codes: 0 all well, 1 a promise is broken (``--check``) or a boot failed, 2 usage, 3 this host lacks something.
"""

import argparse
import contextlib
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
from tests.lab import host, promises, rig, run, scenarios, special, variants
from tests.lab.variants import Variant

EXIT_BROKEN = 1
EXIT_MISSING = 3
EXIT_STOPPED = 130
_OURS = (
    *("base", "deps", "dress", "packaged", "source", "native", "wheels", "installed"),
    *("seed", "learned", "applied", "boots", "last", "runs"),
)


QUICK = "stock,agent,gate"
"""What ``quick`` compares; of the gate only :data:`QUICK_GATE`."""
QUICK_GATE = ("s1", "s4")
QUICK_SPECIAL = ("units", "shutdown")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say in one line whether this host can run the lab")
    commands.add_parser("clean", help="end what killed runs left, remove all caches")
    commands.add_parser("list", help="name the scenarios, and what is special")
    one = commands.add_parser("run", help="boot scenarios, without and with Tidegate")
    full = commands.add_parser(
        "full", help="every scenario on every variant, none of them worse than stock"
    )
    quick = commands.add_parser("quick", help="the set that CI runs, at most 10 minutes")
    every = ",".join(variants.Variant)
    for command, compared in ((one, "stock,agent"), (full, every), (quick, QUICK)):
        if command is not quick:
            command.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
        command.add_argument("--variants", default=compared, help=f"default: {compared}")
        command.add_argument("--check", action="store_true", help="exit 1 if a promise is broken")
        command.add_argument("--json", type=Path, metavar="FILE", help="write the boots there too")
        command.add_argument("--beside", type=int, default=2, help="machines at a time, default 2")
        command.add_argument(
            "--fresh", action="store_true", help="take no stock boot from an earlier run"
        )
    one.add_argument("--pairs", type=int, default=1, help="boots of each variant, interleaved")
    more = commands.add_parser("special", help="what needs more than one boot with one fault")
    more.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    more.add_argument("--check", action="store_true", help="exit 1 if a promise is broken")
    return parser


def _variants(text: str) -> list[Variant]:
    wanted = []
    for word in text.split(","):
        try:
            variant = Variant(word)
        except ValueError as error:
            known = ", ".join(Variant)
            raise SystemExit(f"lab: no variant {word!r}; there are: {known}") from error
        if reason := variants.available(variant):
            print(f"lab: variant {variant} is left out: {reason}")
            continue
        wanted.append(variant)
    return wanted


def _known(names: list[str], known: Iterable[str], what: str) -> None:
    if unknown := [name for name in names if name not in set(known)]:
        raise SystemExit(f"lab: no {what} {', '.join(unknown)}; there are: {', '.join(known)}")


def _jobs(names: list[str], wanted: list[Variant], numbers: range) -> list[run.Job]:
    """One boot of each for each of ``numbers``, every second time in the other order: what drifts meanwhile meets all alike."""
    jobs = []
    for name in names:
        for number in numbers:
            turn = wanted if number % 2 else wanted[::-1]
            jobs += [run.Job(scenario=name, variant=each, number=number) for each in turn]
    return jobs


def _first(options: argparse.Namespace, wanted: list[Variant]) -> list[run.Job]:
    """The boots to begin with."""
    if options.command == "quick":
        compared = [each for each in wanted if not each.strategy]
        names = list(scenarios.QUICK)
        jobs = _jobs(["s0"], compared, range(1, promises.PAIRS + 1))
        jobs += _jobs([name for name in names if name != "s0"], compared, range(1, 2))
        held = [each for each in wanted if each.strategy]
        return jobs + _jobs(list(QUICK_GATE), held, range(1, 2))
    names = options.scenarios or list(scenarios.SCENARIOS)
    _known(names, scenarios.SCENARIOS, "scenario")
    pairs = options.pairs if options.command == "run" else 1
    jobs = []
    for name in names:
        number = promises.PAIRS if options.command == "full" and name == "s0" else pairs
        jobs += _jobs([name], wanted, range(1, number + 1))
    return jobs


def _again(doubtful: list[promises.Cell], boots: list[run.Boot]) -> list[run.Job]:
    """The boots to add for what is in doubt: pairs of healthy ones, others of that variant alone."""
    jobs = []
    for name, variant in doubtful:
        done = sum(boot.scenario == name and boot.variant is variant for boot in boots)
        compared = [Variant.STOCK, variant] if name == "s0" else [variant]
        more = promises.PAIRS if name == "s0" else promises.AGAIN
        jobs += _jobs([name], compared, range(done + 1, done + more + 1))
    return list(dict.fromkeys(jobs))


def _ready() -> str | None:
    host.install_tools()
    return host.missing()


def _booted(options: argparse.Namespace, wanted: list[Variant]) -> list[run.Boot | run.Failed]:
    """Boot, and boot again what is in doubt until it is not."""
    ends = run.boots(_first(options, wanted), beside=options.beside, reuse=not options.fresh)
    while True:
        boots = [end for end in ends if isinstance(end, run.Boot)]
        cells = promises.doubtful(boots, against_stock=options.command == "full")
        again = _again(cells, boots)
        if not again:
            return ends
        print(f"lab: in doubt, so booted again: {' '.join(job.name for job in again)}")
        more = run.boots(again, beside=1, reuse=False)
        ends += more
        if any(isinstance(end, run.Failed) for end in more):
            return ends


def _run(options: argparse.Namespace) -> int:
    wanted = _variants(options.variants)
    ends = _booted(options, wanted)
    boots = [end for end in ends if isinstance(end, run.Boot)]
    for text in (promises.table(boots), promises.spread(boots), promises.costs(boots)):
        print(f"\n{text}" if text else "")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(boots), indent=1))
    failures = promises.broken(boots)
    if options.command == "full":
        failures += [text for text in promises.worse(boots) if text not in failures]
    undone = [end.name for end in ends if isinstance(end, run.Failed)]
    if options.command == "quick":
        tales = special.tell(QUICK_SPECIAL)
        failures += [text for tale in tales for text in tale.broken]
        undone += [tale.name for tale in tales if tale.failed]
    return _told(options, failures, undone)


def _told(options: argparse.Namespace, failures: list[str], undone: list[str]) -> int:
    for failure in failures:
        print(f"BROKEN PROMISE {failure}")
    if undone:
        print(f"NOT DONE {' '.join(undone)}")
    return EXIT_BROKEN if undone or (failures and options.check) else 0


def _special(options: argparse.Namespace) -> int:
    _known(options.names, (*special.TALES, *special.PARTS), "special")
    tales = special.tell(options.names or tuple(special.TALES))
    failures = [text for tale in tales for text in tale.broken]
    return _told(options, failures, [tale.name for tale in tales if tale.failed])


def _clean() -> int:
    if names := rig.running():
        print(f"lab: not cleaned, a lab is running: {' '.join(names)}")
        return EXIT_BROKEN
    top = host.lab_dir()
    for name in _OURS:  # the directory is the user's choice: nothing else in it is touched
        shutil.rmtree(top / name, ignore_errors=True)
        (top / f"{name}.lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        top.rmdir()
    print(f"lab: its caches in {top} are removed")
    return 0


def _list() -> int:
    for name, scenario in scenarios.SCENARIOS.items():
        print(f"{name}  {scenario.says}; Incus alone: {scenario.stock}")
    for name, module in special.TALES.items():
        print(f"{name}  {module.SAYS}")
    return 0


def main(words: list[str]) -> int:
    """Do one command and return its exit code."""
    options = _parser().parse_args(words)
    if options.command == "list":
        return _list()
    try:
        if reason := _ready():
            print(f"the boot lab needs what this host does not have: {reason}")
            return EXIT_MISSING
        if options.command == "check":
            print("the boot lab can run here")
            return 0
        for name in rig.sweep():
            print(f"lab: removed what the killed run {name} had left")
        if options.command == "clean":
            return _clean()
        return _special(options) if options.command == "special" else _run(options)
    except host.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return EXIT_BROKEN
    except KeyboardInterrupt:
        print("lab: stopped; its machines are gone", file=sys.stderr)
        return EXIT_STOPPED


def _terminated(signum: int, _frame: object) -> None:
    raise KeyboardInterrupt(f"signal {signum}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main(sys.argv[1:]))
