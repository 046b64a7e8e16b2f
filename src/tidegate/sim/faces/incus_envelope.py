# SPDX-License-Identifier: Apache-2.0
"""The envelopes of Incus's answers (facts/incus.md R5)."""

import msgspec
from aiohttp import web

from tidegate.sim.incus.operations import Operation
from tidegate.sim.incus.values import Refusal


def sync_body(metadata: object) -> bytes:
    """Return the bytes of a successful answer."""
    return msgspec.json.encode(
        {
            "type": "sync",
            "status": "Success",
            "status_code": 200,
            "operation": "",
            "error_code": 0,
            "error": "",
            "metadata": metadata,
        }
    )


def sync(metadata: object) -> web.Response:
    """Answer with success."""
    return web.Response(body=sync_body(metadata), content_type="application/json")


def begun(operation: Operation) -> web.Response:
    """Answer that an operation has begun."""
    url = f"/1.0/operations/{operation.id}"
    body = {
        "type": "async",
        "status": "Operation created",
        "status_code": 100,
        "operation": url,
        "error_code": 0,
        "error": "",
        "metadata": operation.begun,
    }
    return web.Response(
        status=202,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={"Location": url},
    )


def error(refusal: Refusal, *, http_status: int | None = None) -> web.Response:
    """Answer with an error, under its own HTTP status unless ``http_status`` says otherwise."""
    body = {
        "type": "error",
        "status": "",
        "status_code": 0,
        "operation": "",
        "error_code": refusal.code,
        "error": refusal.text,
        "metadata": None,
    }
    return web.Response(
        status=http_status or refusal.code,
        body=msgspec.json.encode(body),
        content_type="application/json",
    )
