# SPDX-License-Identifier: Apache-2.0
"""``guard.json``: all the guard must know, and what `tidegate guard enable` found before it changed anything. Values only.

Written by `enable`, readable for root alone; the guard gets it as a credential. It holds certificates, a key, secrets: none of them
shows in repr().
"""

import enum
from typing import Final

import msgspec

from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.core.ids import NodeName

FILE: Final = "guard.json"
"""In the state directory, and in ``$CREDENTIALS_DIRECTORY`` of the guard's unit."""
FORMAT: Final = 1
URL: Final = "http://127.0.0.1:13370"
"""What Incus's list of controllers names first (contract.md, files)."""
USERNAME: Final = "tidegate"
"""``LS_USERNAME=`` of ``incus.service``; its ``LS_PASSWORD=`` is `Record.password`."""


class Form(enum.StrEnum):
    """How Incus was told of the guard."""

    CLUSTER = "cluster"
    """By its key ``storage.linstor.controller_connection``, which is the same on every member (facts/incus.md L5)."""
    NODE = "node"
    """By ``LS_CONTROLLERS`` of this node's ``incus.service``, where the key is empty (L40)."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What ``guard.json`` holds."""

    format: int = FORMAT
    node: NodeName
    """This node, in LINSTOR's naming."""
    form: Form
    controllers: tuple[str, ...]
    """The real controllers, in order of preference; never the guard itself."""
    ca: str = ""
    cert: str = ""
    key: str = ""
    """Texts of certificates and key towards them; empty for plain HTTP."""
    username: str = ""
    controller_password: str = ""
    token: str = ""
    """How the guard logs in at the controllers, where they want that."""
    password: str = ""
    """What Incus brings to the guard with `USERNAME`; "" when Incus has a login of its own, and is known by its user alone."""
    secret: str = ""
    """What the guard brings to the agent."""
    old: str = ""
    """The key's value before; "" in the form of the node."""
    new: str = ""
    """The key's value as it was set; "" while it was not."""
    drop_in: bool = False
    """We wrote the controllers into Tidegate's own configuration."""
    made: tuple[str, ...] = ()
    """Directories that were not there before us, those above first."""
    enabled_at: float = 0.0
    """Seconds since the epoch."""

    @property
    def endpoints(self) -> Endpoints:
        """The controllers as the clients take them."""
        return Endpoints(
            urls=self.controllers,
            ca_pem=self.ca or None,
            cert_pem=self.cert or None,
            key_pem=self.key or None,
            username=self.username or None,
            password=self.controller_password or None,
            token=self.token or None,
        )

    def __repr__(self) -> str:
        return (
            f"Record(node={self.node!r}, form={self.form!r}, controllers={self.controllers!r}, …)"
        )


def read(data: bytes) -> Record:
    """Return the record in ``data``. Raises ValueError, saying what is wrong, without a secret."""
    try:
        found = msgspec.json.decode(data, type=Record)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it cannot be read: {error}") from None
    if found.format != FORMAT:
        raise ValueError(f"it is of form {found.format}, this program knows {FORMAT}")
    if not found.controllers:
        raise ValueError("it names no controller")
    return found


def written(record: Record) -> bytes:
    """Return the bytes of the file."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1)
