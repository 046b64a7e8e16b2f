# SPDX-License-Identifier: Apache-2.0
"""All targets of all ``targets_*.py`` beside this file."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.engine import Target


def targets() -> Iterator[Target]:
    """Yield them, file by file."""
    for path in sorted(Path(__file__).parent.glob("targets_*.py")):
        yield from importlib.import_module(f"tests.fuzz.{path.stem}").TARGETS
