# SPDX-License-Identifier: Apache-2.0
"""Advice applied and taken back: drop-ins through the room ``units``, and a note of when, for the comparison of boots."""

from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent import unitchange
from tidegate.agent.unitchange import Changed
from tidegate.clients import errors, files
from tidegate.config.model import Config
from tidegate.core.trouble import Trouble
from tidegate.tuning import advice
from tidegate.tuning.advice import Advice, By
from tidegate.tuning.facts import HostFacts
from tidegate.tuning.result import Applied
from tidegate.units.host import Addition

FILE: Final = "tune.json"
SATELLITE: Final = "linstor-satellite.service"
_DEVICES: Final = "devices-first"


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was ever applied on this host, the latest last."""

    applied: tuple[Applied, ...] = ()

    def now(self) -> frozenset[str]:
        """Return what is in force."""
        return frozenset(one.id for one in self.applied if one.reverted is None)

    def last(self, name: str) -> Applied | None:
        """Return when ``name`` was applied last."""
        return next((one for one in reversed(self.applied) if one.id == name), None)


def load(config: Config) -> Notes:
    """Return the notes; none when there are none. Raises ClientError when they cannot be read."""
    path = Path(config.agent.state_dir) / FILE
    if not path.exists():
        return Notes()
    try:
        return msgspec.json.decode(files.read(path), type=Notes)
    except msgspec.MsgspecError as error:
        raise errors.ClientError(
            Trouble(
                code="tune.notes",
                text=f"{path} cannot be read: {error}",
                hint="put it aside; what was applied shows in `tidegate units verify`",
            )
        ) from error


async def apply(config: Config, wanted: Advice, facts: HostFacts, *, at: float) -> Changed:
    """Carry ``wanted`` out at ``at`` (seconds since the epoch), and note it. Raises ClientError."""
    root = Path("/")
    if wanted.by is not By.US:
        trouble = Trouble(
            code="tune.by-hand",
            text=f"{wanted.id} is not Tidegate's to change",
            hint=f"by hand: {wanted.change}",
        )
        return Changed(refusals=(trouble,))
    if wanted.id == _DEVICES:
        done = await unitchange.set_devices(root, config, enabled=True)
    else:
        done = await unitchange.add(root, config, [_addition(wanted, facts)])
    if not done.refusals:
        noted = Applied(id=wanted.id, measure=wanted.measure, at=at, expected=wanted.gain)
        _save(config, Notes(applied=(*load(config).applied, noted)))
    return done


async def revert(config: Config, name: str, *, at: float) -> Changed:
    """Take ``name`` back, to the byte, and note it. Raises ClientError."""
    root = Path("/")
    if name == _DEVICES:
        done = await unitchange.set_devices(root, config, enabled=False)
    else:
        done = await unitchange.drop(root, config, [_topic(name)])
    if not done.refusals:
        notes = load(config).applied
        ended = tuple(
            msgspec.structs.replace(one, reverted=at)
            if one.id == name and one.reverted is None
            else one
            for one in notes
        )
        _save(config, Notes(applied=ended))
    return done


def _addition(wanted: Advice, facts: HostFacts) -> Addition:
    options = advice.java_options(facts.java_options)
    return Addition(
        unit=SATELLITE,
        topic=_topic(wanted.id),
        why=wanted.title,
        sections={"Service": (f'Environment="JAVA_OPTS={options}"',)},
    )


def _topic(name: str) -> str:
    return f"tune-{name}"


def _save(config: Config, notes: Notes) -> None:
    files.make_directory(Path(config.agent.state_dir), mode=0o755)
    files.write(Path(config.agent.state_dir) / FILE, msgspec.json.encode(notes))
