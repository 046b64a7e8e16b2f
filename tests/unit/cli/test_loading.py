# SPDX-License-Identifier: Apache-2.0
"""What agent and guard load: aiohttp reads no trust store, and our own contexts have theirs."""

import os
import subprocess
import sys
from pathlib import Path

import trustme

LOADED = """
import gc, os
from tidegate.cli import loading
with loading.lean():
    import aiohttp.connector
assert gc.isenabled()
from tidegate.clients.linstor import endpoints, tls
print(aiohttp.connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"])
print(os.environ.get("SSL_CERT_FILE"))
print(tls.context(endpoints.Endpoints(urls=("https://ctl:3371",))).cert_store_stats()["x509"])
"""


def test_only_our_own_context_trusts_the_machines_authorities(tmp_path: Path) -> None:
    """In a process of its own: here aiohttp is long loaded."""
    store = tmp_path / "machine.pem"
    trustme.CA().cert_pem.write_to_path(str(store))
    told = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={**os.environ, "SSL_CERT_FILE": str(store), "SSL_CERT_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert told == ["0", str(store), "1"]


def test_a_variable_that_was_not_set_is_not_set_afterwards() -> None:
    env = {key: value for key, value in os.environ.items() if key != "SSL_CERT_FILE"}
    told = subprocess.run(
        [sys.executable, "-c", LOADED], env=env, capture_output=True, text=True, check=True
    ).stdout.split()
    assert told[:2] == ["0", "None"]
