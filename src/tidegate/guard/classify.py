# SPDX-License-Identifier: Apache-2.0
"""Which of Incus's calls concern readiness (facts/incus.md L50-L54). Pure; everything else is none of the rules' business."""

from typing import Final
from urllib.parse import unquote_plus

import msgspec

from tidegate.core.ids import NodeName, ResourceName
from tidegate.guard.interface import Call, CallClass

_NAME: Final = "Aux/Incus/name"
_TYPE: Final = "Aux/Incus/type"


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A call that concerns readiness, and what it is about."""

    kind: CallClass
    resource: ResourceName | None = None
    """Of make-available and volumes."""


def classify(call: Call, node: NodeName, *, local_truth: bool) -> Named | None:
    """Return what ``call`` is about; None when it is only forwarded.

    Only calls for ``node`` itself are named: every member asks only for its own (facts/incus.md L109). LINSTOR takes the names of
    nodes without regard to case. The map of volumes, one of them or whole as `recover/validate` asks for it (L60), is named only where
    ``local_truth`` could answer it.
    """
    match call.method, call.segments:
        case "GET", ("v1", "controller", "version"):
            return Named(kind=CallClass.VERSION)
        case "GET", ("v1", "nodes", name) if _is(name, node):
            return Named(kind=CallClass.NODE)
        case "POST", ("v1", "resource-definitions", rd, "resources", name, "make-available") if (
            rd and _is(name, node)
        ):
            return Named(kind=CallClass.MAKE_AVAILABLE, resource=ResourceName(rd))
        case "GET", ("v1", "resource-definitions", rd, "resources", name, "volumes") if rd and _is(
            name, node
        ):
            return Named(kind=CallClass.VOLUMES, resource=ResourceName(rd))
        case "GET", ("v1", "resource-definitions") if local_truth and (
            not call.query or identity(call.query)
        ):
            return Named(kind=CallClass.DEFINITIONS)
    return None


def identity(query: str) -> tuple[str, str] | None:
    """Return (Aux/Incus/name, Aux/Incus/type) when ``query`` is Incus's look-up of one volume (facts/incus.md L25), else None."""
    found: dict[str, str] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        name, equals, wanted = unquote_plus(value).partition("=")
        if unquote_plus(key) != "props" or not equals or name not in {_NAME, _TYPE}:
            return None
        found[name] = wanted
    if set(found) != {_NAME, _TYPE}:
        return None
    return found[_NAME], found[_TYPE]


def _is(name: str, node: NodeName) -> bool:
    return name.casefold() == node.casefold()
