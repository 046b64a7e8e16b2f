# SPDX-License-Identifier: Apache-2.0
"""Finding what a request names, and the answers when it is not there (recorded texts: tests/data/linstor)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tidegate.sim.linstor import rc, store
from tidegate.sim.linstor.answer import Answer, Call, Entries, Wait
from tidegate.sim.linstor.node import Life

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

Body = TypeVar("Body", bound=msgspec.Struct)


class Refused(Exception):  # noqa: N818 - it carries an answer, it is no error of ours
    """A request cannot be served; ``answer`` says so. Only between a handler and :class:`tidegate.sim.linstor.api.Api`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Finder:
    """Look-ups in one world."""

    def __init__(self, world: worlds.LinstorWorld) -> None:
        self.world = world

    def entries(self, context: int = 0, **refs: str) -> Entries:
        """An empty answer with operation and object bits and references that each entry will carry."""
        world = self.world
        return Entries(lambda: world.epoch + world.now, context=context, refs=refs)

    def refuse(self, code: int, message: str, *, status: int = 0, **more: str) -> Refused:
        """A one-entry refusal."""
        answer = self.entries().add(code, message, **more).answer()  # type: ignore[arg-type]
        return Refused(msgspec.structs.replace(answer, status=status or answer.status))

    def _absent(self, code: int, what: str, name: str, into: Entries | None) -> Refused:
        lower = what.lower()
        entries = into or self.entries()
        details = ""
        if into is not None and {"Node", "RscDfn"} <= set(into.refs):
            details = f"Node: {into.refs['Node']}, Resource: '{into.refs['RscDfn']}'"
        entries.add(
            code,
            f"{what} '{name}' not found.",
            cause=f"The specified {lower} '{name}' could not be found in the database",
            details=details,
            correction=f"Create a {lower} with the name '{name}' first.",
        )
        return Refused(entries.answer())

    def definition(self, name: str, *, into: Entries | None = None) -> store.Definition:
        """A resource definition, or the long refusal that sub-resources give."""
        found = self.world.store.data.definitions.get(name)
        if found is None:
            raise self._absent(rc.NOT_FOUND_RSC_DFN, "Resource definition", name, into)
        return found

    def node(self, name: str, *, into: Entries | None = None) -> store.Node:
        """A node, or the long refusal."""
        found = self.world.store.data.nodes.get(name)
        if found is None:
            raise self._absent(rc.NOT_FOUND_NODE, "Node", name, into)
        return found

    def group(self, name: str) -> store.Group:
        """A resource group, or 404."""
        found = self.world.store.data.groups.get(name)
        if found is None:
            raise self.refuse(rc.NOT_FOUND_RSC_GRP, f"Resource group '{name}' not found.")
        return found

    def placement(self, definition: str, node: str, *, of_volumes: bool = False) -> store.Placement:
        """A placed resource, or 404 in the words of the endpoint."""
        found = self.world.store.placement(definition, node)
        if found is None:
            text = f"Resource '{definition}' on '{node}' not found."
            if of_volumes:
                text = f"Resource '{definition}' not found on node '{node}'."
            raise self.refuse(rc.NOT_FOUND_RSC, text)
        return found

    def snapshot(self, definition: store.Definition, name: str) -> store.Snapshot:
        """A snapshot, or 404."""
        found = next((s for s in definition.snapshots if s.name == name), None)
        if found is None:
            raise self.refuse(rc.NOT_FOUND_SNAPSHOT, f"Snapshot '{name}' not found.")
        return found

    def body(self, raw: bytes, kind: type[Body]) -> Body:
        """The request's body. No or broken JSON, or an unknown field, is a 500 (facts/linstor-observed.md B)."""
        try:
            return msgspec.json.decode(raw or b"{}", type=kind)
        except msgspec.MsgspecError as error:
            text = "Unable to parse input json."
            raise self.refuse(rc.UNPARSABLE, text, details=str(error)) from error

    # --- satellites ------------------------------------------------------------------------------
    def ask(self, names: set[str]) -> Call:
        """Ask satellites something: wait for the mute ones. Ends with 200, or 500 without a message if one was lost (A2)."""
        lives = [self.world.lives[n] for n in sorted(names)]
        asked = [(life, life.link) for life in lives if life.connected]
        mute = self.world.connection.mute
        lost = [pair for pair in asked if mute(pair[0])]
        if lost:
            yield Wait(ready=lambda: all(a.link != k or not mute(a) for a, k in lost))
        if any(life.link != link for life, link in asked):
            report = (self.world.new_report(),)
            return self.entries().add(rc.UNKNOWN_ERROR, reports=report).answer()
        return Answer()

    def deaf(self, life: Life) -> bool:
        """True if a connected satellite does not act on what it is told: mute, or without a device manager (A1)."""
        world = self.world
        return world.connection.mute(life) or not world.connection.manages(life)

    def tell(self, names: list[str], entries: Entries, what: str) -> Call:
        """Tell satellites of a change: warn of those not connected; wait for those that are, for ever if they are deaf."""
        for name in names:
            life = self.world.lives[name]
            if not life.connected:
                warn_not_connected(entries, name)
                continue
            link = life.link
            if self.deaf(life):
                yield Wait(ready=lambda a=life, k=link: a.link != k or not self.deaf(a))  # type: ignore[misc]
            if life.link != link:
                text = f"{what} failed due to an unhandled exception of type PeerClosingConnectionException. null"
                entries.add(rc.UNKNOWN_ERROR, text, reports=(self.world.new_report(),))
                return entries.answer()
        return Answer()


def warn_not_connected(entries: Entries, name: str) -> None:
    """The change is stored and waits for the satellite."""
    entries.add(
        rc.WARN_NOT_CONNECTED,
        f"No active connection to satellite '{name}'",
        details=rc.NOT_CONNECTED_DETAILS,
    )
