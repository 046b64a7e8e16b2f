# SPDX-License-Identifier: Apache-2.0
"""Loads aiohttp without the trust store of the machine, which it reads when it is imported."""

import os
from typing import Final

_VARIABLE: Final = "SSL_CERT_FILE"
"""Where OpenSSL looks for the default trust store, if it is set (SSL_CTX_set_default_verify_paths)."""


def lean() -> None:
    """Import aiohttp now, for programs that start while the host boots.

    ``aiohttp.connector`` makes a TLS context with all the machine's authorities for calls that name none: 20 to 35 ms of CPU, in agent and
    guard, of a boot that has two cores. We never make such a call (``linstor.tls.context``); one made by mistake would trust nobody.
    """
    kept = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = os.devnull
    try:
        import aiohttp  # noqa: F401, PLC0415
    finally:
        if kept is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = kept
