# SPDX-License-Identifier: Apache-2.0
"""An event loop whose end waits for nobody: a thread that resolves a name may hang for minutes, and cannot be cancelled."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` as ``asyncio.run`` would, and return what it returns.

    While threads are left the loop is not closed, since that would wait for them: the process then ends by ``os._exit``
    (``cli.main``).
    """
    runner = asyncio.Runner()
    try:
        return runner.run(main)
    finally:
        if threading.active_count() == 1:
            runner.close()
