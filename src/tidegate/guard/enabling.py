# SPDX-License-Identifier: Apache-2.0
"""What `tidegate guard enable` and `disable` do to Incus's setting, decided before anything is changed. Pure.

Two forms. The cluster's key is the same on every member, so every member must run a guard first: Incus proves that itself, because it
refuses a value that one of its online members cannot reach (facts/incus.md L5, D67). So the key first names the guard alone, and
only then the real controllers behind it. Where the key is empty, ``LS_CONTROLLERS`` of one node's unit does (L40).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tidegate.config import controllers
from tidegate.core.trouble import Trouble
from tidegate.guard.record import URL, Form, Record

KEY: Final = "storage.linstor.controller_connection"
ONLINE: Final = "Online"
DROP_IN: Final = "50-tidegate-guard.toml"
"""In the directory of Tidegate's own drop-ins."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the cluster, and its status in Incus's words."""

    name: str
    status: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was found before anything is changed."""

    key: str
    """The value of `KEY` now; "" when it is not set."""
    old: str = ""
    """What it was before us, by the record of an earlier `enable`; "" without one."""
    members: tuple[Member, ...] = ()
    """Empty on a standalone server."""
    controllers: tuple[str, ...] = ()
    """The real controllers as they were found (URLs), without the guard."""
    configured: bool = False
    """They come from Tidegate's own configuration, so nothing need be kept there."""
    has_login: bool = False
    """``incus.service`` has ``LS_USERNAME`` or ``LS_BEARER_TOKEN_FILE`` of its own."""
    fatal: tuple[str, ...] = ()
    """Volumes without which incusd does not start (D19): the guard changes nothing on such a host."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done to Incus's setting."""

    form: Form
    steps: tuple[str, ...] = ()
    """Values that the key gets, one after another; the first proves that every member has a guard."""
    old: str = ""
    notes: tuple[str, ...] = ()


def enable(seen: Seen, asked: Form | None) -> Intent | Trouble:
    """Return what to do to have Incus ask the guard, or why not. ``asked`` None: the form that fits."""
    if not seen.controllers:
        return Trouble(
            code="guard.no-controller",
            text="the guard would stand before no controller: none was found",
            hint='set [linstor] controllers = ["http://HOST:3370"] in /etc/tidegate/tidegate.toml',
        )
    form = asked or (Form.CLUSTER if seen.key else Form.NODE)
    notes = _notes(seen)
    if form is Form.NODE:
        if seen.key:
            return Trouble(
                code="guard.key-set",
                text=f"Incus's key {KEY} is set ({seen.key}), and wins over LS_CONTROLLERS of one node",
                hint="take --form cluster, with a guard on every member; or empty the key first",
            )
        return Intent(form=form, notes=(*notes, _RESTART))
    away = [member for member in seen.members if member.status != ONLINE]
    if away:
        listed = ", ".join(f"{member.name} ({member.status or 'unknown'})" for member in away)
        return Trouble(
            code="guard.member-away",
            text=f"the key is the same on every member, and not every member can prove its guard now: {listed}",
            hint="try again when all members are Online; or use the form of the node where the key is empty",
        )
    # An earlier one that was cut off between the two steps has left the guard alone there.
    stood = seen.old if seen.key == URL and seen.old else seen.key
    final = value(stood, seen.controllers)
    if seen.key == final:
        return Intent(form=form, old=stood, notes=notes)
    return Intent(form=form, steps=(URL, final), old=stood, notes=notes)


def value(key: str, real: Sequence[str]) -> str:
    """Return the key's value with the guard first: what stood there before stays behind it, in its own words."""
    before = [one for one in controllers.parse_list(key) if not _is_guard(one)]
    return ",".join((URL, *(before or real)))


def disable(record: Record, key: str) -> str | None:
    """Return the value that the key gets back; None when there is nothing to change.

    What was changed by somebody else since stays as it is, but for the guard.
    """
    if not any(_is_guard(one) for one in controllers.parse_list(key)):
        return None
    if key in {record.new, URL}:
        return without_guard(record.old)
    return without_guard(key)


def without_guard(key: str) -> str:
    """Return the value without the guard's own address."""
    return ",".join(one for one in controllers.parse_list(key) if not _is_guard(one))


def names_guard(key: str) -> bool:
    """Return True when Incus asks the guard first by this value of the key."""
    listed = controllers.parse_list(key)
    return bool(listed) and _is_guard(listed[0])


def is_whole(key: str) -> bool:
    """Return True when a controller stands behind the guard, too: without one Incus has nobody to go on to."""
    return names_guard(key) and bool(without_guard(key))


def drop_in(urls: Sequence[str]) -> str:
    """Return the text of the drop-in that keeps the real controllers in Tidegate's configuration."""
    listed = ", ".join(f'"{url}"' for url in urls)
    return (
        "# Written by `tidegate guard enable`, taken away by `tidegate guard disable`: Incus's own list names the guard first.\n"
        f"[linstor]\ncontrollers = [{listed}]\n"
    )


def environment(password: str, username: str) -> str:
    """Return the text of ``guard.env``: by these Incus is known to the guard, where the kernel cannot say whose socket asks."""
    return f"LS_USERNAME={username}\nLS_PASSWORD={password}\n"


def has_login(environment: Mapping[str, str]) -> bool:
    """Return True when Incus logs in at its controllers with a name or a token of its own (facts/incus.md L41)."""
    return bool(environment.get("LS_USERNAME") or environment.get("LS_BEARER_TOKEN_FILE"))


_RESTART: Final = (
    "a running Incus asks the guard once it is started again: systemctl restart incus.service"
)


def _notes(seen: Seen) -> tuple[str, ...]:
    notes = []
    if seen.fatal:
        listed = ", ".join(seen.fatal)
        notes.append(
            f"incusd does not start without its pool ({listed}): on this host the guard never says "
            "that it is not ready; take the gate as well: tidegate units apply --strategy gate"
        )
    if seen.has_login:
        notes.append(
            "incus.service has a login of its own: the guard knows Incus by its user alone"
        )
    return tuple(notes)


def _is_guard(text: str) -> bool:
    return any(controllers.is_own_guard(url) for url in controllers.as_incus_reads((text,)))
