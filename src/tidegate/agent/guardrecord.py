# SPDX-License-Identifier: Apache-2.0
"""What `tidegate guard enable` puts into ``guard.json``, from what was found on this host."""

from collections.abc import Callable
from pathlib import Path

from tidegate.clients import clock, files
from tidegate.clients.linstor import tls
from tidegate.config.discover import Discovered
from tidegate.config.model import LinstorConfig
from tidegate.guard import enabling
from tidegate.guard.enabling import Intent
from tidegate.guard.record import Record


def made(
    found: Discovered,
    intent: Intent,
    before: Record | None,
    token: Callable[[], str],
    *,
    with_password: bool,
) -> Record:
    """Return what goes into ``guard.json``: with all texts in it, since the guard may read no file of root's.

    Secrets of before stay; ``token`` makes a new one. Raises ClientError for a file that cannot be read.
    """
    chosen = found.linstor
    old = intent.old
    if before is not None and enabling.names_guard(old):
        old = before.old
    return Record(
        node=found.node,
        form=intent.form,
        controllers=chosen.controllers,
        ca=chosen.ca or _text(chosen.ca_file),
        cert=chosen.cert or _text(chosen.cert_file),
        key=chosen.key or _text(chosen.key_file),
        username=chosen.username,
        controller_password=chosen.password or _text(chosen.password_file).rstrip("\n"),
        token=_token(chosen),
        password=(before.password if before else "") or token() if with_password else "",
        secret=before.secret if before is not None and before.secret else token(),
        old=enabling.without_guard(old),
        new=before.new if before is not None else "",
        enabled_at=clock.wall(),
    )


def _text(path: str) -> str:
    return files.read_text(Path(path)) if path else ""


def _token(chosen: LinstorConfig) -> str:
    return tls.read_token(chosen.token_file) or "" if chosen.token_file else ""
