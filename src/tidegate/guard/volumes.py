# SPDX-License-Identifier: Apache-2.0
"""What becomes of the controller's answer to ``make-available`` and ``…/volumes`` of this node. Pure.

Incus opens ``[index].device_path`` of the second without looking (facts/incus.md L52, L70-L73): an empty list makes it panic
(facts/observed.md, s10), an empty path costs the instance an attempt. So neither is ever passed on; and a volume that is not proven
ready yet is waited for, for as long as the call may be held.
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidegate.core.ids import NodeName, ResourceName
from tidegate.guard import interface
from tidegate.guard.interface import Answer, CallClass

HOLD: Final = 8.0
"""Seconds for which a call may be held: meanwhile it occupies one of Incus's autostart workers, on a small host the only one."""
PEER_CLOSED: Final = "PeerClosingConnectionException"
"""In the message of a changing call whose satellite was lost under it (facts/linstor-observed.md A20)."""
_MESSAGELESS: Final = 500


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent says of the volumes of one resource."""

    ready: bool
    """Each exists, is the device that LINSTOR means, opens, and may be used (contract.md, proven ready and safety 1)."""
    in_use: bool = False
    """It carries an instance that runs on this node, or is mounted here: its calls are never held (safety 4)."""
    known: bool = True
    """It belongs to something this node knows; False: the agent looked at the devices alone."""
    paths: Mapping[str, str] = {}
    """Volume number -> the device that was proven."""
    code: str = ""
    """Of the finding that says what is missing."""
    text: str = ""
    here: Mapping[str, str] = {}
    """Volume number -> DRBD's device as the kernel has it now, filled only where nothing but LINSTOR's word is missing and local
    truth is allowed."""


class Turn(enum.StrEnum):
    """What to do with an answer."""

    PASS = "pass"  # noqa: S105 - no password
    """It goes to Incus in the very bytes of the controller."""
    ASK = "ask"
    """The controller is asked again: its answer cannot be used as it is."""
    WAIT = "wait"
    """The answer is good, the volume is not yet: the agent is asked again, and then the controller."""
    FILL = "fill"
    """The paths that LINSTOR does not know yet are filled in from the kernel (local truth)."""
    REFUSE = "refuse"
    """An error in LINSTOR's form, at once."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with an answer, and why, as a stable word and as a sentence."""

    turn: Turn
    why: str = ""
    text: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One volume in the controller's answer."""

    number: int
    path: str


def judge(kind: CallClass, answer: Answer, held: Held | None) -> Opinion:
    """Return what to do with ``answer``; ``held`` None: the agent did not answer in time."""
    if answer.trouble is not None:
        return Opinion(turn=Turn.PASS)
    if answer.status >= 400:
        if is_lost_satellite(kind, answer):
            text = "the controller lost the satellite while the call waited for it"
            turn = Turn.REFUSE if held is not None and held.in_use else Turn.ASK
            return Opinion(turn=turn, why="satellite-lost", text=text)
        return Opinion(turn=Turn.PASS)
    if kind is CallClass.MAKE_AVAILABLE:
        return _patience(held)
    entries = read(answer)
    if entries is None:
        return Opinion(turn=Turn.PASS)
    flaw = _flaw(entries)
    if flaw is not None:
        return _flawed(flaw, entries, held)
    patience = _patience(held)
    if patience.turn is Turn.PASS and held is not None and held.ready and not held.in_use:
        return _same(entries, held.paths)
    return patience


def read(answer: Answer) -> tuple[Entry, ...] | None:
    """Return the volumes of an answer to ``…/volumes``; None when it is no list of volumes."""
    found = _decoded(answer.body)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return None
    if any("ret_code" in one for one in found):
        return None
    return tuple(
        Entry(
            number=one.get("volume_number") if isinstance(one.get("volume_number"), int) else place,
            path=one.get("device_path") or "",
        )
        for place, one in enumerate(found)
    )


def is_lost_satellite(kind: CallClass, answer: Answer) -> bool:
    """Return True when the controller lost the satellite while the call waited, so that it is worth asking again.

    A GET that asks satellites is answered 500 without any ``message`` then (facts/linstor-observed.md A2), a changing call with
    one that names the exception (A20). Asking again is harmless for both: a GET changes nothing, and ``make-available`` of what is
    placed by then does nothing but say so (facts/linstor.md 5, "Resource already deployed as requested"; observed, C 0.4/5).
    """
    if answer.status != _MESSAGELESS:
        return False
    found = _decoded(answer.body)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        return False
    messages = [str(one["message"]) for one in found if one.get("message")]
    if not messages:
        return any(isinstance(one.get("ret_code"), int) for one in found)
    return kind is CallClass.MAKE_AVAILABLE and any(PEER_CLOSED in text for text in messages)


def fill(answer: Answer, here: Mapping[str, str]) -> Answer:
    """Return ``answer`` with the paths that are missing taken from ``here`` (local truth); all else stays."""
    found = _decoded(answer.body)
    assert isinstance(found, list)
    for place, one in enumerate(found):
        number = one.get("volume_number", place)
        if not one.get("device_path"):
            one["device_path"] = here[str(number)]
    return Answer(
        status=answer.status,
        headers=((b"Content-Type", interface.JSON.encode()),),
        body=msgspec.json.encode(found),
        why="local-truth",
        text="LINSTOR names no device yet; the kernel does",
    )


def refusal(
    resource: ResourceName, node: NodeName, *, why: str, text: str, waited: float
) -> Answer:
    """Return the error that Incus logs: what is not ready, for how long it was waited for, and what a person can do.

    Never 404, of which golinstor shows nothing but the number (facts/incus.md L36).
    """
    message = f"{resource} cannot be used on {node} yet: {text or 'not proven ready'}"
    waiting = f" (waited for {waited:.1f} s)" if waited >= 0.1 else ""
    answer = interface.plain_error(
        500,
        interface.FAIL_UNKNOWN_ERROR,
        f"Tidegate: {message}{waiting}",
        hint=f"tidegate why volume/{resource}/0",
    )
    return msgspec.structs.replace(answer, why=why or "volume-not-ready", text=message)


def _patience(held: Held | None) -> Opinion:
    """Return whether what the controller says of a good volume may pass now."""
    if held is None:
        return Opinion(turn=Turn.PASS, why="no-agent")
    if held.in_use:
        return Opinion(turn=Turn.PASS, why="in-use")
    if held.ready:
        return Opinion(turn=Turn.PASS)
    return Opinion(turn=Turn.WAIT, why=_word(held.code), text=held.text)


def _flaw(entries: tuple[Entry, ...]) -> Opinion | None:
    if not entries:
        text = "the controller gives an empty list of volumes"
        return Opinion(turn=Turn.ASK, why="volumes-empty", text=text)
    missing = [str(entry.number) for entry in entries if not entry.path]
    if missing:
        text = f"LINSTOR names no device for volume {', '.join(missing)} until the satellite's first run is over"
        return Opinion(turn=Turn.ASK, why="path-missing", text=text)
    return None


def _flawed(flaw: Opinion, entries: tuple[Entry, ...], held: Held | None) -> Opinion:
    """An answer that would harm Incus never passes; it is waited for a better one only where waiting is allowed."""
    if held is not None and entries and _fits(entries, held.here):
        return msgspec.structs.replace(flaw, turn=Turn.FILL)
    if held is None or held.in_use:
        return msgspec.structs.replace(flaw, turn=Turn.REFUSE)
    return flaw


def _fits(entries: tuple[Entry, ...], here: Mapping[str, str]) -> bool:
    return all(here.get(str(entry.number)) for entry in entries if not entry.path)


def _same(entries: tuple[Entry, ...], proven: Mapping[str, str]) -> Opinion:
    """What was proven must be what Incus is told: a path kept from before the boot may name another volume's device (A6)."""
    for entry in entries:
        path = proven.get(str(entry.number))
        if path is not None and path != entry.path:
            text = f"LINSTOR names {entry.path}, and {path} was proven"
            return Opinion(turn=Turn.WAIT, why="device-other", text=text)
    return Opinion(turn=Turn.PASS)


def _word(code: str) -> str:
    """Return a finding's code as a word for a header: ``device.missing`` -> ``device-missing``."""
    return code.replace(".", "-") or "volume-not-ready"


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
