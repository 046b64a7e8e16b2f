# SPDX-License-Identifier: Apache-2.0
"""Answers that this node can give with the controller gone, for the calls that Incus needs to mount a pool and start an instance. Pure.

Opt-in (``guard.local_truth``), for DRBD only, never for a call that changes anything: ``make-available`` is answered only where the
device is there already, so that it would do nothing (facts/linstor.md 5). Which resource belongs to which volume was kept at a good
moment; devices are resolved at the moment of the question.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidegate.guard import classify, interface
from tidegate.guard.asking import Local
from tidegate.guard.classify import Named
from tidegate.guard.interface import Answer, Call, CallClass

WHY: Final = "local-truth"
_DEPLOYED: Final = 20185088
"""ret_code of ``make-available`` for what is placed already (facts/linstor-observed.md, C 0.4/5)."""


def answer(call: Call, named: Named, local: Local | None) -> Answer | None:
    """Return the answer to ``call`` on local truth; None when there is none."""
    if local is None:
        return None
    match named.kind:
        case CallClass.VERSION:
            return _version(local)
        case CallClass.NODE:
            return _node(local)
        case CallClass.DEFINITIONS:
            return _definitions(call, local)
        case CallClass.MAKE_AVAILABLE:
            return _deployed(local)
        case CallClass.VOLUMES:
            return _volumes(local)
        case _:
            return None


def _version(local: Local) -> Answer | None:
    if not local.version:
        return None
    found = {"version": local.version, "rest_api_version": local.rest_api_version}
    return _reply(found, "the version of the controller that answered last")


def _node(local: Local) -> Answer | None:
    if not local.ready or not local.node:
        return None
    found = {"name": local.node, "type": "SATELLITE", "connection_status": "ONLINE"}
    return _reply(found, "volumes that are needed here are up in DRBD and may be used")


def _definitions(call: Call, local: Local) -> Answer | None:
    wanted = classify.identity(call.query)  # None: all of them, as `recover/validate` asks (L60)
    found = [
        {
            "name": one.name,
            "resource_group_name": one.resource_group,
            "props": {
                "Aux/Incus/name": one.aux_name,
                "Aux/Incus/type": one.aux_type,
                **({"Aux/Incus/content-type": one.aux_content} if one.aux_content else {}),
            },
        }
        for one in local.definitions
        if wanted is None or (one.aux_name, one.aux_type) == wanted
    ]
    # Nothing kept is no proof that there is none: an empty list would read "not found".
    what = wanted or f"all {len(found)} resource definitions"
    return _reply(found, f"{what} as kept") if found else None


def _deployed(local: Local) -> Answer | None:
    if not local.devices:
        return None
    entry = {"ret_code": _DEPLOYED, "message": "Resource already deployed as requested"}
    return _reply([entry], "the device is there already")


def _volumes(local: Local) -> Answer | None:
    if not local.devices:
        return None
    found = [
        {"volume_number": int(number), "device_path": path}
        for number, path in sorted(local.devices.items(), key=lambda one: int(one[0]))
    ]
    if [one["volume_number"] for one in found] != list(range(len(found))):
        return None  # Incus takes them by their place in the list (facts/incus.md L52)
    return _reply(found, f"the kernel's device: {_listed(local.devices)}")


def _listed(devices: Mapping[str, str]) -> str:
    return ", ".join(path for _, path in sorted(devices.items()))


def _reply(found: Any, text: str) -> Answer:
    return Answer(
        status=200,
        headers=((b"Content-Type", interface.JSON.encode()),),
        body=msgspec.json.encode(found),
        why=WHY,
        text=f"no controller answers; {text}",
    )
