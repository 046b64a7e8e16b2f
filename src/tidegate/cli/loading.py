# SPDX-License-Identifier: Apache-2.0
"""Loads what the programs need that start while the host boots, at the least cost: Incus waits for them."""

import contextlib
import gc
import os
from collections.abc import Iterator
from typing import Final

_TRUST_STORE: Final = "SSL_CERT_FILE"
"""Where OpenSSL looks for the authorities that are trusted by default, if it is set (SSL_CTX_set_default_verify_paths)."""


@contextlib.contextmanager
def lean() -> Iterator[None]:
    """Import inside this what a long-lived program needs.

    What is loaded is no garbage, now and later: the collector is kept from it. And ``aiohttp.connector`` makes a TLS context with all the
    machine's authorities for calls that name none, which takes 20 to 35 ms of CPU: it gets an empty one. We never make such a call
    (``linstor.tls.context``); one made by mistake would trust nobody.
    """
    kept = os.environ.get(_TRUST_STORE)
    os.environ[_TRUST_STORE] = os.devnull
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if kept is None:
            del os.environ[_TRUST_STORE]
        else:
            os.environ[_TRUST_STORE] = kept
