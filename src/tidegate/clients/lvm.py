# SPDX-License-Identifier: Apache-2.0
"""LVM's logical volumes: which there are, and activation of one as LINSTOR does it. Nothing else is ever changed."""

from typing import Final

import msgspec

from tidegate.bringup.model import LogicalVolume
from tidegate.clients import errors, process

_FIELDS: Final = "vg_name,lv_name,lv_active,lv_size"
ACTIVATE_WITHIN: Final = 45.0
"""Seconds: as long as LINSTOR waits for it. A thin pool is checked first, and killed in the middle LVM may leave a device suspended."""
_GRACE: Final = 15.0
"""Seconds from SIGTERM, which LVM holds back while devices are suspended, to SIGKILL."""


class _Row(msgspec.Struct):
    vg_name: str
    lv_name: str
    lv_active: str = ""
    lv_size: str = "0"


class _Part(msgspec.Struct):
    lv: list[_Row] = []


class _Answer(msgspec.Struct):
    report: list[_Part]


_DECODER: Final = msgspec.json.Decoder(_Answer)


async def volumes(*, deadline: float, lvs: str = "lvs") -> dict[str, LogicalVolume]:
    """Return all logical volumes by path ``/dev/VG/LV``; ``deadline`` in seconds.

    Raises ClientError ``lvm.no-tool``, ``lvm.timeout``, ``lvm.failed`` or ``lvm.garbage``.
    """
    argv = [lvs, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", _FIELDS]
    done = await process.run(argv, deadline=deadline)
    try:
        found = parse(done.stdout)
    except (msgspec.DecodeError, ValueError) as error:
        text = f"the answer of lvs cannot be read: {error}"
        hint = "run lvs by hand"
        garbage = errors.Trouble(code="lvm.garbage", text=text, hint=hint)
        raise errors.ClientError(
            garbage if done.trouble is None else _trouble(done.trouble)
        ) from error
    if done.trouble is not None and not found:
        # One sick volume group makes it fail, and it lists the others all the same.
        raise errors.ClientError(_trouble(done.trouble))
    return found


def parse(output: bytes) -> dict[str, LogicalVolume]:
    """Read what ``lvs --reportformat json`` printed. Raises msgspec.DecodeError or ValueError. Pure."""
    rows = [row for part in _DECODER.decode(output).report for row in part.lv]
    return {
        f"/dev/{row.vg_name}/{row.lv_name}": LogicalVolume(
            vg=row.vg_name,
            name=row.lv_name,
            active=row.lv_active.startswith("active"),
            size=int(row.lv_size),
        )
        for row in rows
        if not row.lv_name.startswith("[")
    }


async def activate(
    volume: str, *, deadline: float = ACTIVATE_WITHIN, lvchange: str = "lvchange"
) -> errors.Trouble | None:
    """Activate ``VG/LV`` within ``deadline`` seconds; None when that is done.

    ``-K``: LINSTOR's thin snapshots carry the flag to be skipped, and Incus's volumes are such (facts/early-observed.md).
    """
    argv = [lvchange, "-ay", "-K", volume]
    done = await process.run(argv, deadline=deadline, grace=_GRACE)
    return None if done.trouble is None else _trouble(done.trouble)


def _trouble(trouble: errors.Trouble) -> errors.Trouble:
    kind = {"process.missing": "no-tool", "process.timeout": "timeout"}.get(trouble.code, "failed")
    hint = "install lvm2" if kind == "no-tool" else trouble.hint
    return errors.Trouble(code=f"lvm.{kind}", text=trouble.text, hint=hint)
