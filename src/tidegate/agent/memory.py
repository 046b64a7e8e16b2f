# SPDX-License-Identifier: Apache-2.0
"""What recovery remembers, kept for as long as the boot lasts: an agent that was killed and comes back goes on where it was.

Without it a start of ours that failed late would look like a stop by a user (facts/incus.md A21).
"""

import contextlib
from pathlib import Path

import msgspec

from tidegate.clients import errors, files
from tidegate.core.ids import BootId
from tidegate.core.trouble import Trouble
from tidegate.recovery import state as states
from tidegate.recovery.state import RecoveryState

FILE = "recovery.json"


class Memory:
    """Reads and writes ``recovery.json`` in ``directory``, which may be emptied at every boot."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._written: RecoveryState | None = None

    def load(self, boot_id: BootId, now: float) -> tuple[RecoveryState, Trouble | None]:
        """Return the state to go on with at ``now`` (seconds since boot) and, if the file is there and useless, what is wrong."""
        fresh = RecoveryState(boot_id=boot_id)
        if not self._path.exists():
            return fresh, None
        try:
            kept = msgspec.json.decode(files.read(self._path), type=RecoveryState)
        except errors.ClientError as error:
            return fresh, error.trouble
        except msgspec.MsgspecError as error:
            return fresh, self._set_aside(str(error))
        return states.resumed(kept, boot_id=boot_id, now=now), None

    def _set_aside(self, why: str) -> Trouble:
        """Keep what cannot be read for a person, under another name; it is never fatal."""
        aside = self._path.with_name(f"{FILE}.set-aside")
        try:
            files.move(self._path, aside)
            kept = f"it was set aside as {aside.name}"
        except errors.ClientError as error:
            kept = f"it could not be set aside: {error.trouble.text}"
        return Trouble(
            code="recovery.unusable",
            text=f"{self._path} is not used: it cannot be read: {why}; {kept}",
            hint="recovery begins anew; what was tried before in this boot may be tried again",
        )

    def save(self, state: RecoveryState) -> None:
        """Write ``state`` if it says anything that an agent would have to know after a crash.

        It must survive our death, not the machine's, so nothing is synced: that is quick enough for the agent's loop.

        Raises:
            ClientError: It could not be written. What was there before is taken away: a start that it says to be on its way, and that
                ended well since, would look like one that failed, and who stopped the instance since would not be believed.
        """
        lasting = states.lasting(state)
        if lasting == self._written:
            return
        try:
            files.write(self._path, msgspec.json.encode(lasting), mode=0o640, durable=False)
        except errors.ClientError:
            self._written = None
            with contextlib.suppress(errors.ClientError):
                files.remove(self._path)
            raise
        self._written = lasting
