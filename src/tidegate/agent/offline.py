# SPDX-License-Identifier: Apache-2.0
"""Snapshots in files: saved where the trouble is, judged here as there, with the same views."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidegate import __version__
from tidegate.agent import ending, setup
from tidegate.agent.views import Views
from tidegate.clients import errors, files
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.health import judge
from tidegate.history.store import HistoryEvent
from tidegate.report import saved

EXIT_USAGE = 2


class _Saved:
    """A scene that stands still."""

    acts = False
    sentence = ""

    def __init__(self, snapshot: Snapshot, report: Report) -> None:
        self.snapshot = snapshot
        self.report = report

    async def next_report(self) -> Report:
        """Return the only report there is."""
        return self.report

    def note(self, event: HistoryEvent) -> None:
        """Nothing is kept."""

    def mutes(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - a scene's signature
        """Nothing is muted in a file."""
        return {"exit": EXIT_USAGE, "text": "a saved snapshot has no mutes\n"}


def save(text: str, path: str, *, masked: bool) -> tuple[int, str]:
    """Write the snapshot in ``text`` (JSON, as the agent gives it) to ``path``; returns (exit code, what to say)."""
    try:
        snapshot = msgspec.json.decode(text, type=Snapshot)
        data = saved.encode(snapshot, version=__version__, masked=masked)
        files.write(Path(path), data, mode=0o600, durable=False)
    except msgspec.MsgspecError as error:
        return EXIT_USAGE, f"tidegate status: the agent's snapshot cannot be read: {error}\n"
    except errors.ClientError as error:
        return EXIT_USAGE, f"tidegate status: {error.trouble}\n"
    names = "names and addresses are masked" if masked else "it holds names and addresses: --mask"
    return 0, f"saved: {path} ({names}). To judge it: tidegate status --from {path}\n"


def answer(
    request: dict[str, Any], path: str, *, overrides: Mapping[str, object], config: str | None
) -> tuple[int, str]:
    """Return (exit code, text) for ``request`` about the snapshot in the file ``path``, judged by this host's policy."""
    loaded = setup.load(overrides=overrides, config=config)
    if isinstance(loaded, str):
        return EXIT_USAGE, loaded
    try:
        kept = saved.decode(files.read(Path(path), limit=saved.MOST))
    except errors.ClientError as error:
        return EXIT_USAGE, f"tidegate: {error.trouble}\n"
    except ValueError as error:
        return EXIT_USAGE, f"tidegate: {path}: {error}\n"
    scene = _Saved(kept.snapshot, judge.judge(kept.snapshot, loaded.health))
    last = ending.run(_last(scene, request))
    return int(last["exit"]), str(last["text"])


async def _last(scene: Any, request: dict[str, Any]) -> dict[str, Any]:
    answers = [item async for item in Views(scene, lambda: scene.snapshot.at).answer(request)]
    return answers[-1]
