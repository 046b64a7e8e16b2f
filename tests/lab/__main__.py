# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.lab``: the boot lab. ``check`` says whether this host can run it, ``run`` and ``quick`` boot, ``clean`` removes.

Exit codes: 0 all well, 1 a promise is broken (``--check``) or a boot failed, 2 usage, 3 this host lacks something.
"""

import argparse
import contextlib
import shutil
import signal
import sys
from pathlib import Path

import msgspec
from tests.lab import host, promises, rig, run, scenarios, variants
from tests.lab.variants import Variant

EXIT_BROKEN = 1
EXIT_MISSING = 3
EXIT_STOPPED = 130
_OURS = (
    *("base", "deps", "dress", "source", "native", "wheels", "installed"),
    *("seed", "learned", "boots", "last", "runs"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say in one line whether this host can run the lab")
    commands.add_parser("clean", help="end what killed runs left, remove all caches")
    commands.add_parser("list", help="name the scenarios")
    one = commands.add_parser("run", help="boot scenarios, without and with Tidegate")
    one.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    quick = commands.add_parser(
        "quick", help="the set that a promise is made for, at most 15 minutes"
    )
    for command in (one, quick):
        command.add_argument("--variants", default="stock,agent", help="default: stock,agent")
        command.add_argument("--check", action="store_true", help="exit 1 if a promise is broken")
        command.add_argument("--json", type=Path, metavar="FILE", help="write the boots there too")
        command.add_argument("--beside", type=int, default=2, help="machines at a time, default 2")
        command.add_argument(
            "--fresh", action="store_true", help="take no stock boot from an earlier run"
        )
    one.add_argument("--pairs", type=int, default=1, help="boots of each variant, interleaved")
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


def _jobs(names: list[str], wanted: list[Variant], pairs: int, s0_pairs: int) -> list[run.Job]:
    unknown = [name for name in names if name not in scenarios.SCENARIOS]
    if unknown:
        known = ", ".join(scenarios.SCENARIOS)
        raise SystemExit(f"lab: no scenario {', '.join(unknown)}; there are: {known}")
    jobs = []
    for name in names:
        for number in range(1, (s0_pairs if name == "s0" else pairs) + 1):
            jobs += [run.Job(scenario=name, variant=each, number=number) for each in wanted]
    return jobs


def _again(names: list[str], wanted: list[Variant], boots: list[run.Boot]) -> list[run.Job]:
    """The boots to add for scenarios whose times are in doubt: pairs of healthy ones, others with the agent only."""
    jobs = []
    for name in names:
        done = max(sum(b.scenario == name and b.variant is each for b in boots) for each in wanted)
        more = promises.PAIRS if name == "s0" else promises.AGAIN
        variants_of = wanted if name == "s0" else [Variant.AGENT]
        for number in range(done + 1, done + more + 1):
            jobs += [run.Job(scenario=name, variant=each, number=number) for each in variants_of]
    return jobs


def _ready() -> str | None:
    host.install_tools()
    return host.missing()


def _run(options: argparse.Namespace) -> int:
    wanted = _variants(options.variants)
    if options.command == "quick":
        jobs = _jobs(list(scenarios.QUICK), wanted, 1, promises.PAIRS)
    else:
        names = options.scenarios or list(scenarios.SCENARIOS)
        jobs = _jobs(names, wanted, options.pairs, options.pairs)
    ends = run.boots(jobs, beside=options.beside, reuse=not options.fresh)
    boots = [end for end in ends if isinstance(end, run.Boot)]
    if again := _again(promises.doubtful(boots), wanted, boots):
        print(f"lab: late, so booted again before it counts: {' '.join(job.name for job in again)}")
        ends += run.boots(again, beside=1, reuse=False)
        boots = [end for end in ends if isinstance(end, run.Boot)]
    print()
    print(promises.table(boots))
    print(promises.spread(boots))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(boots), indent=1))
    failures = promises.broken(boots)
    for failure in failures:
        print(f"BROKEN PROMISE {failure}")
    undone = [end.name for end in ends if isinstance(end, run.Failed)]
    if undone:
        print(f"NOT DONE {' '.join(undone)}")
    return EXIT_BROKEN if undone or (failures and options.check) else 0


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
        return _run(options)
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
