# SPDX-License-Identifier: Apache-2.0
"""The mutes of this node: kept in a file over boots, applied to every report that people are shown, ended when it gets worse."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from tidegate.clients import errors, files
from tidegate.core.finding import Report
from tidegate.core.ids import Subject
from tidegate.health import catalogue, mutes
from tidegate.health.mutes import Mute
from tidegate.report.terminal import duration, harmless

FORMAT: Final = 1
MOST: Final = 200
EXIT_OK, EXIT_USAGE = 0, 2
_log = logging.getLogger("tidegate.muting")


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    mutes: tuple[Mute, ...] = ()


class Muting:
    """Keeps the mutes in ``mutes.json`` below ``state_dir``; ``wall`` gives seconds since the epoch.

    With ``may_write`` False what ends by itself is forgotten in memory only.
    """

    def __init__(
        self, state_dir: Path, wall: Callable[[], float], *, may_write: bool = True
    ) -> None:
        self._path = state_dir / "mutes.json"
        self._wall = wall
        self._may_write = may_write
        self._mutes: tuple[Mute, ...] = ()
        self._load()

    def apply(self, report: Report) -> Report:
        """Return ``report`` as people are to hear it; tells and forgets what has ended."""
        if not self._mutes:
            return report
        muted = mutes.apply(report, self._mutes, self._wall())
        if muted.ended:
            for mute, why in muted.ended:
                _log.warning(
                    "no longer muted: %s %s: %s",
                    mute.code,
                    mute.subject or "(any)",
                    why,
                    extra={"TIDEGATE_EVENT": "mute", "TIDEGATE_CODE": mute.code},
                )
            self._mutes = muted.mutes
            if self._may_write:
                self._try_to_save()
        return muted.report

    def answer(self, request: dict[str, Any], report: Report) -> dict[str, Any]:
        """Answer the requests ``mute``, ``unmute`` and ``mutes``; ``report`` is what is known now."""
        try:
            match request.get("op"):
                case "mute":
                    text = self._order(request, report)
                case "unmute":
                    text = self._end(request)
                case _:
                    return {"exit": EXIT_OK, "text": self._list(request)}
            self._save()
        except (ValueError, errors.ClientError) as error:
            return {"exit": EXIT_USAGE, "text": f"tidegate health: {error}\n"}
        return {"exit": EXIT_OK, "text": text}

    def _order(self, request: dict[str, Any], report: Report) -> str:
        code, subject = _meant(request)
        length = request.get("for")
        now = self._wall()
        until = now + float(length) if length is not None else None
        made = mutes.order(report, code, subject=subject, until=until, wall=now)
        others = tuple(one for one in self._mutes if (one.code, one.subject) != (code, subject))
        if len(others) >= MOST:
            raise ValueError(f"{MOST} mutes are enough: end some first (tidegate health list)")
        self._mutes = (*others, made)
        about = f" about {subject}" if subject else ""
        lasts = f"for {duration(float(length))}" if length is not None else "until it gets worse"
        now_there = (
            f"; it covers: {', '.join(made.subjects)}" if made.subjects else "; nothing of it now"
        )
        return f"muted: {code}{about}, {lasts}{now_there}\n"

    def _end(self, request: dict[str, Any]) -> str:
        code, subject = _meant(request)
        kept = tuple(
            one for one in self._mutes if one.code != code or (subject and one.subject != subject)
        )
        if kept == self._mutes:
            raise ValueError(
                f"{code} {subject or ''} is not muted: tidegate health list".replace("  ", " ")
            )
        self._mutes = kept
        return f"heard again: {code}{f' about {subject}' if subject else ''}\n"

    def _list(self, request: dict[str, Any]) -> str:
        if request.get("format") == "json":
            shown = {"format": FORMAT, "mutes": msgspec.to_builtins(self._mutes)}
            return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
        if not self._mutes:
            return "nothing is muted\n"
        return "".join(f"{self._line(one)}\n" for one in self._mutes)

    def _line(self, mute: Mute) -> str:
        now = self._wall()
        ends = "until it gets worse"
        if mute.until is not None:
            ends = f"for {duration(max(0.0, mute.until - now))} more"
        about = harmless(mute.subject) or "any subject"
        return f"{mute.code}  {about}  {ends}, for {duration(max(0.0, now - mute.since))} so far"

    def _load(self) -> None:
        try:
            kept = msgspec.json.decode(files.read(self._path), type=_File)
        except errors.ClientError as error:
            if self._path.exists():
                _log.warning("%s", error.trouble, extra={"TIDEGATE_CODE": error.code})
        except msgspec.MsgspecError as error:
            _log.warning("%s is not used, nothing is muted: %s", self._path, error)
        else:
            if kept.format == FORMAT:
                self._mutes = kept.mutes[:MOST]

    def _try_to_save(self) -> None:
        try:
            self._save()
        except errors.ClientError as error:
            _log.warning("%s", error.trouble, extra={"TIDEGATE_CODE": error.code})

    def _save(self) -> None:
        data = msgspec.json.encode(_File(mutes=self._mutes))
        files.make_directory(self._path.parent)
        files.write(self._path, msgspec.json.format(data, indent=1), mode=0o640)


def _meant(request: dict[str, Any]) -> tuple[str, str]:
    """Return code and subject that ``request`` names. Raises ValueError, saying what is allowed."""
    code, subject = str(request.get("code") or ""), str(request.get("subject") or "")
    if code not in catalogue.CODES:
        layer = code.partition(".")[0]
        near = [one for one in catalogue.CODES if one.startswith(f"{layer}.")]
        listed = (
            f"; codes of {layer}: {', '.join(near)}" if near else "; docs/findings.md lists all"
        )
        raise ValueError(f"{code!r} is no code of a finding{listed}")
    return code, str(Subject.parse(subject)) if subject else ""
