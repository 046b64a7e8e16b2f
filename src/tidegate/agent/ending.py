# SPDX-License-Identifier: Apache-2.0
"""An event loop whose end waits for nobody: a thread that resolves a name may hang for minutes, and cannot be cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for no thread. ``close`` has each end once its work is done, and Python's own end waits for it (``cli.main``)."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` as ``asyncio.run`` would, and return what it returns; threads that hang are left behind.

    A process that ends with such threads should do so by ``os._exit`` (``cli.main``).
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
