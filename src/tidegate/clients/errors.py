# SPDX-License-Identifier: Apache-2.0
"""Expected trouble with an outside system, as a value with a stable code.

Every client of this room raises one exception class, `ClientError`, and only that; what happened
is in the `Trouble` it carries. Codes are `system.slug` ("controller.refused", "incus.timeout") and
never change once released: probes turn them into findings, people search for them.
"""

from typing import Final

import msgspec

from tidegate.core.trouble import Trouble

__all__ = [
    "DISCONNECTED",
    "GARBAGE",
    "REFUSED",
    "TIMEOUT",
    "TIMEOUT_CONNECT",
    "TLS",
    "UNREACHABLE",
    "UNREADABLE",
    "ClientError",
    "Trouble",
]

# Slugs that `clients.http` uses for every system. Clients add their own (linstor: see its package).
REFUSED: Final = "refused"
UNREACHABLE: Final = "unreachable"
TIMEOUT_CONNECT: Final = "timeout-connect"
TIMEOUT: Final = "timeout"
TLS: Final = "tls"
DISCONNECTED: Final = "disconnected"
GARBAGE: Final = "garbage"

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding JSON from outside may raise: broken, not UTF-8, or nested a thousand times to hurt (found by ``make fuzz``)."""


class ClientError(Exception):
    """A call to an outside system did not succeed; `trouble` says why.

    The one exception of this room. `code` is a short cut to `trouble.code`.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble

    @property
    def code(self) -> str:
        """The stable code, for example "controller.timeout"."""
        return self.trouble.code
