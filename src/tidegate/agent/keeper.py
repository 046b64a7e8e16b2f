# SPDX-License-Identifier: Apache-2.0
"""The map of what is wanted, kept in a plain file: read before incusd can be asked, written at good moments only."""

from pathlib import Path

import msgspec

from tidegate.clients import errors, files
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import FORMAT, WantedMap

FILE = "wanted.json"


class Keeper:
    """Reads and writes ``wanted.json`` in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._written: WantedMap | None = None

    def load(self) -> tuple[WantedMap | None, Trouble | None]:
        """Return the kept map, or None and, unless there simply is none yet, what is wrong with it."""
        try:
            data = files.read(self._path)
        except errors.ClientError as error:
            return None, None if not self._path.exists() else error.trouble
        try:
            kept = msgspec.json.decode(data, type=WantedMap)
        except msgspec.MsgspecError as error:
            return None, self._useless(f"it cannot be read: {error}")
        if kept.format != FORMAT:
            return None, self._useless(f"it is of form {kept.format}, this program writes {FORMAT}")
        self._written = kept
        return kept, None

    def save(self, fresh: WantedMap) -> bool:
        """Write ``fresh`` if it says anything new; returns True when it was written.

        Raises:
            ClientError: It could not be written; what was there before is still there.
        """
        if self._written is not None and _without_date(fresh) == _without_date(self._written):
            return False
        files.write(
            self._path, msgspec.json.format(msgspec.json.encode(fresh), indent=1), mode=0o640
        )
        self._written = fresh
        return True

    def _useless(self, problem: str) -> Trouble:
        return Trouble(
            code="wanted.unusable",
            text=f"{self._path} is not used: {problem}",
            hint="it is written anew at the next good moment; until then only the satellite's level can be waited for",
        )


def _without_date(kept: WantedMap) -> WantedMap:
    return msgspec.structs.replace(kept, saved_at=0.0, boot_id="")
