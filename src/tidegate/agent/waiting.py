# SPDX-License-Identifier: Apache-2.0
"""``tidegate wait api-online`` and ``satellite-online NODE``: what ``linstor-wait-until`` waits for (facts/linstor.md 11).

With a limit, bounded calls and a reason. Asks the controller only: it needs neither an agent nor Incus, and runs on any machine.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tidegate.agent import discovery, ending, setup
from tidegate.clients import clock, errors
from tidegate.clients.linstor.client import LinstorClient
from tidegate.config.model import Config
from tidegate.health.view import ONLINE
from tidegate.report import document
from tidegate.report.terminal import duration, harmless

EVERY: Final = 0.25
"""Seconds between two questions; no event tells of a node that comes ONLINE (facts/linstor.md 4.7)."""
CALL: Final = 5.0
DEFAULT: Final = "http://localhost:3370"
"""Where LINSTOR's own clients look when nobody tells them."""
EXIT_OK, EXIT_USAGE, EXIT_TIMEOUT = 0, 2, 3

Show = Callable[[dict[str, Any]], None]


def wait(
    what: str,
    node: str,
    *,
    limit: float,
    as_json: bool,
    overrides: Mapping[str, object],
    config: str | None,
    show: Show,
) -> dict[str, Any]:
    """Wait for ``what`` (``api-online`` or ``satellite-online``) for ``limit`` seconds; returns the last answer, with ``exit``."""
    loaded = setup.load(overrides=overrides, config=config)
    if isinstance(loaded, str):
        return {"exit": EXIT_USAGE, "text": loaded}
    if not loaded.linstor.controllers:
        # The environment's names count first, then what is found on this host; nobody: as LINSTOR's own clients do.
        trouble = discovery.Linstor(loaded, None, clock.boottime).found.trouble
        if trouble is not None and trouble.code == "controller.bad-address":
            return {"exit": EXIT_USAGE, "text": f"tidegate wait: {trouble}\n"}
        if trouble is not None:
            linstor = msgspec.structs.replace(loaded.linstor, controllers=(DEFAULT,))
            loaded = msgspec.structs.replace(loaded, linstor=linstor)
    return ending.run(_wait(what, node, limit, loaded, show, as_json=as_json))


async def _wait(
    what: str, node: str, limit: float, config: Config, show: Show, *, as_json: bool
) -> dict[str, Any]:
    linstor = discovery.Linstor(config, None, clock.boottime)
    began = clock.boottime()
    try:
        while True:
            left = limit - (clock.boottime() - began)
            done, said = await _ask(linstor.client, what, node, min(CALL, max(0.1, left)))
            waited = clock.boottime() - began
            if done or waited >= limit:
                return _last(what, said, waited, done=done, as_json=as_json)
            show({"progress": f"waits for {what} for {duration(waited)}: {said}"})
            await asyncio.sleep(min(EVERY, max(0.0, limit - waited)))
    finally:
        await linstor.aclose()


async def _ask(client: LinstorClient, what: str, node: str, deadline: float) -> tuple[bool, str]:
    """Return whether it is so now, and what was seen."""
    try:
        if what == "api-online":
            version = await client.version(deadline=deadline)
            return True, f"LINSTOR {version.version} answers at {client.active}"
        found = await client.node(node, deadline=deadline)
    except errors.ClientError as error:
        return False, str(error.trouble)
    said = f"the controller at {client.active} shows {node} as {found.connection_status}"
    return found.connection_status == ONLINE, said


def _last(what: str, said: str, waited: float, *, done: bool, as_json: bool) -> dict[str, Any]:
    code = EXIT_OK if done else EXIT_TIMEOUT
    if as_json:
        told = {
            "format": document.FORMAT,
            "waited_for": what,
            "reached": done,
            "seconds": round(waited, 3),
            "reason": said,
        }
        return {"exit": code, "text": json.dumps(told, indent=2, ensure_ascii=False) + "\n"}
    verb = "reached" if done else "not reached"
    return {"exit": code, "text": f"{what} {verb} after {duration(waited)}: {harmless(said)}\n"}
