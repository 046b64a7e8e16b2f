# SPDX-License-Identifier: Apache-2.0
"""LINSTOR's return codes: how an answer's entries are numbered, shaped and turned into an HTTP status (facts/linstor.md 4.1)."""

from typing import Any

TYPE_ERROR = 0xC000000000000000
TYPE_WARN = 0x8000000000000000
TYPE_INFO = 0x4000000000000000
OP_CREATE = 0x01000000
OP_MODIFY = 0x02000000
OP_DELETE = 0x03000000
OBJ_NODE = 0x3C0000
OBJ_RSC_DFN = 0x380000
OBJ_RSC = 0x340000
OBJ_VLM_DFN = 0x300000
OBJ_VLM = 0x2C0000
OBJ_STOR_POOL = 0x140000
OBJ_SNAPSHOT = 0x0C0000
OBJ_RSC_GRP = 0x440000

CREATED, DELETED, MODIFIED, AUTHENTICATED = 1, 2, 3, 9
NOT_FOUND_NODE = TYPE_ERROR | 300
NOT_FOUND_RSC_DFN = TYPE_ERROR | 301
NOT_FOUND_RSC = TYPE_ERROR | 302
NOT_FOUND_VLM = TYPE_ERROR | 304
NOT_FOUND_STOR_POOL = TYPE_ERROR | 310
NOT_FOUND_SNAPSHOT = TYPE_ERROR | 315
NOT_FOUND_KVS = TYPE_ERROR | 316
NOT_FOUND_RSC_GRP = TYPE_ERROR | 317
INVALID_LAYER_STACK = TYPE_ERROR | 225
EXISTS_RSC_DFN = TYPE_ERROR | 501
EXISTS_RSC_GRP = TYPE_ERROR | 519
NOT_ENOUGH_NODES = TYPE_ERROR | 996
IN_USE = TYPE_ERROR | 997
UNKNOWN_ERROR = TYPE_ERROR | 998
UNPARSABLE = -3458764513820540931 & 0xFFFFFFFFFFFFFFFF
WARN_NOT_FOUND = TYPE_WARN | 3000
WARN_NOT_CONNECTED = TYPE_WARN | 1002
UNSUPPORTED_LAYER = TYPE_ERROR | 988
SNAPSHOTS_NOT_SUPPORTED = TYPE_ERROR | 994
INFO_PARTIAL = TYPE_INFO
INFO_NO_RSC_SPAWNED = TYPE_INFO | 10000

NOT_CONNECTED_DETAILS = (
    "The controller is trying to (re-) establish a connection to the satellite. The controller stored the changes and as soon "
    "the satellite is connected, it will receive this update."
)

Entry = dict[str, Any]


def signed(code: int) -> int:
    """The code as JSON carries it: a signed 64-bit number."""
    return code - (1 << 64) if code >= 1 << 63 else code


def entry(
    code: int,
    message: str = "",
    *,
    created_at: str,
    cause: str = "",
    details: str = "",
    correction: str = "",
    refs: dict[str, str] | None = None,
    reports: tuple[str, ...] = (),
) -> Entry:
    """One entry of an answer. Empty fields are left out, as LINSTOR does; ``created_at`` is always there."""
    fields: Entry = {
        "ret_code": signed(code),
        "message": message,
        "cause": cause,
        "details": details,
        "correction": correction,
        "error_report_ids": list(reports),
        "obj_refs": refs or {},
        "created_at": created_at,
    }
    return {key: value for key, value in fields.items() if value or key == "ret_code"}


def http_status(entries: list[Entry], *, good: int = 200) -> int:
    """The HTTP status of an answer: the first error decides (300-399: 404, 400-499: 403, else 500); warnings never do."""
    for item in entries:
        code = item["ret_code"] & 0xFFFFFFFFFFFFFFFF
        if code & TYPE_ERROR == TYPE_ERROR:
            number = code & 0x7FFF
            if 300 <= number < 400:
                return 404
            return 403 if 400 <= number < 500 else 500
    return good
