# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.fuzz``: every parser of outside text, 100,000 inputs each; ``make fuzz``."""

import argparse
import sys
import time

from tests.fuzz import engine, found


def main() -> int:
    """Run all targets, or those named; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    chosen = parser.parse_args()
    seed = time.time_ns() % 1_000_000 if chosen.seed is None else chosen.seed
    sys.stdout.write(f"seed {seed}, {chosen.inputs} inputs each\n")
    failed = 0
    for target in found.targets():
        if chosen.targets and target.name not in chosen.targets:
            continue
        began = time.monotonic()
        try:
            engine.run(target, inputs=chosen.inputs, seed=seed)
        except engine.Failure as failure:
            failed += 1
            sys.stdout.write(f"FAILED {failure}\n")
        else:
            sys.stdout.write(f"ok {target.name} {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
