# SPDX-License-Identifier: Apache-2.0
"""The life of ``tidegate gate``: follows the agent's verdicts, looks by itself while no agent answers, and always ends.

What is waited for is the satellite and every volume that the kept map wants (``gate.decide``). A controller that is gone is waited for
as well, until the limit, though DRBD may say that the volumes are good: Incus cannot use them without it. It would mark the pool
unavailable, which costs nothing, but look at it again only once a minute, mount it when the satellite is ONLINE, and then spend the
attempts of its instances on devices that come later (facts/observed.md s4, f1). So letting Incus go early is what stock does, holding it
is what this gate is for; the limit bounds what that costs instances on other pools. What waiting cannot cure is not waited for, nor is
what is gone or lies elsewhere. Where even minutes are too long for the others, the strategy *guard* holds single pools instead.

Ends with 0 always, but for wrong options: Incus ``Wants=`` this unit, and no fault of ours may keep it down. A shutdown ends it by
SIGTERM, because the unit conflicts with ``shutdown.target``. Never connects to Incus: its socket would start what is held.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from tidegate.agent import ending, setup, verdicts
from tidegate.agent.boot import Boot, this_boot
from tidegate.clients import errors
from tidegate.clients.systemd import notify
from tidegate.config.model import Config
from tidegate.config.policy import FailPolicy, GatePolicy
from tidegate.gate.decide import Verdict, VerdictKind

ANSWER_WITHIN: Final = 0.3
"""Seconds an agent has to answer (contract.md, processes and truth)."""
KNOCK_EVERY: Final = 0.03
SEEK_EVERY: Final = 1.0
"""Seconds between two attempts at the agent while we look by ourselves."""
SILENT_AFTER: Final = 3 * verdicts.BEAT
"""Seconds without a word after which an agent that answered is taken for hung."""
ALIVE_FOR: Final = 10.0
"""Each word to systemd is good for so many seconds: a gate that hangs is ended by systemd, and Incus goes on."""
STARTING_FOR: Final = 30.0
"""So long may probes take to be loaded from a slow disk. The unit's own start time-out is as long, for the same reason."""
LINES_EVERY: Final = 1.0
"""Seconds between two lines for the journal at least, and before the first: hundreds of volumes may come one after another, and
a wait that is over at once, or first looks that are on their way, are no news."""
TIDY_WITHIN: Final = 0.5
_LONGEST: Final = 1024 * 1024
_log = logging.getLogger("tidegate.gate")


def run(config: Config) -> int:
    """Hold until the verdict, or until told to stop; returns the exit code. ``config`` must have Incus switched off."""
    try:
        ending.run(_run(config))
    except errors.ClientError as error:
        return let_go_unconfigured(str(error.trouble))
    return 0


def let_go_unconfigured(problem: str) -> int:
    """Say that the configuration cannot be used (``problem``, lines for a person) and that Incus is therefore not held."""
    text = " ".join(problem.split())
    _log.error(
        "Incus is not held: %s",
        text,
        extra={"TIDEGATE_EVENT": "verdict", "TIDEGATE_CODE": "gate.not-configured"},
    )
    notify.notify(notify.status(f"Incus is not held: {text}"))
    return 0


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    teller = _Teller(verdicts.effective(config.gate), this_boot(Path(config.host.root)))
    teller.begins(config.gate)
    gate = _Gate(config, teller)
    stopped = asyncio.ensure_future(stop.wait())
    holding = asyncio.ensure_future(gate.hold())
    ends: set[asyncio.Future[Any]] = {holding, stopped, gate.final}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if gate.final.done():
        teller.ends(gate.final.result())
    elif stopped.done():
        teller.released()
    for task in (holding, stopped):
        task.cancel()
    await asyncio.wait({holding, stopped}, timeout=TIDY_WITHIN)
    if holding.done() and not holding.cancelled():
        holding.result()  # a fault of ours, if it was one


class _Gate:
    """Follows whoever can judge: the agent, else our own probes."""

    def __init__(self, config: Config, teller: "_Teller") -> None:
        self._config = config
        self._teller = teller
        self._socket = Path(config.agent.run_dir) / "agent.sock"
        self.final: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    async def hold(self) -> None:
        """Set ``final`` to the verdict that ends the wait, as soon as there is one."""
        link = await self._knock(ANSWER_WITHIN if setup.expects_agent(self._config) else 0.0)
        while not self.final.done():
            if link is None:
                link = await self._look_by_ourselves()
            else:
                await self._follow(link)
                link = None

    async def _follow(self, link: "_Link") -> None:
        """Take the agent's word for as long as it answers."""
        self._teller.source("the agent")
        async with link:
            while (verdict := await link.next()) is not None:
                if self._taken(verdict):
                    return
        self._teller.source("", why="the agent does not answer any more")

    async def _look_by_ourselves(self) -> "_Link | None":
        """Probe and judge until the verdict, or until an agent answers, which then is returned."""
        from tidegate.agent import wiring  # noqa: PLC0415  costs 0.1 s, which a boot with an agent need not spend

        self._teller.source("our own look")
        async with contextlib.AsyncExitStack() as stack:
            parts = await stack.enter_async_context(
                wiring.open_parts(self._config, act=False, keep=False)
            )
            looking = asyncio.ensure_future(parts.loop.run())
            seeking = asyncio.ensure_future(self._seek())
            stack.push_async_callback(_ended, looking, seeking)
            judging = verdicts.stream(
                parts.loop, parts.boottime, self._teller.policy, waited=self._teller.waited
            )
            async with contextlib.aclosing(judging):
                return await self._judged(judging, looking, seeking)

    async def _judged(
        self,
        judging: AsyncGenerator[Verdict, None],
        looking: "asyncio.Future[None]",
        seeking: "asyncio.Future[_Link]",
    ) -> "_Link | None":
        while True:
            following = asyncio.ensure_future(anext(judging))
            try:
                news: set[asyncio.Future[Any]] = {following, looking, seeking}
                await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
                if looking.done():
                    looking.result()
                if seeking.done():
                    return seeking.result()
                if self._taken(following.result()):
                    return None
            finally:
                await _ended(following)

    async def _seek(self) -> "_Link":
        """Return a link to the agent once one answers."""
        while (link := await self._knock(0.0)) is None:  # noqa: ASYNC110  nobody tells that an agent came
            await asyncio.sleep(SEEK_EVERY)
        return link

    async def _knock(self, patience: float) -> "_Link | None":
        """Return a link to the agent; None when it has not answered within ANSWER_WITHIN, or is not there for ``patience`` seconds."""
        until = self._teller.now() + patience
        while True:
            request = {
                "op": "gate",
                "waited": self._teller.waited,
                "policy": msgspec.to_builtins(self._teller.policy),
            }
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    return await _Link.open(self._socket, request)
            except (FileNotFoundError, ConnectionRefusedError):
                if self._teller.now() >= until:
                    return None
                await asyncio.sleep(KNOCK_EVERY)
            except (OSError, TimeoutError, ValueError, msgspec.MsgspecError):
                return None

    def _taken(self, verdict: Verdict) -> bool:
        """Take in a verdict; returns True when it ends the wait."""
        if verdict.kind is VerdictKind.WAIT:
            self._teller.waits(verdict)
            return False
        self.final.set_result(verdict)
        return True


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(set(tasks), timeout=TIDY_WITHIN)


class _Link:
    """A conversation with the agent: verdicts, until it dies or falls silent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._first: Verdict | None = None

    @classmethod
    async def open(cls, path: Path, request: dict[str, object]) -> Self:
        """Return a link whose first verdict is there. Raises OSError, ValueError or MsgspecError when there is no agent of our kind."""
        reader, writer = await asyncio.open_unix_connection(str(path), limit=_LONGEST)
        made = cls(reader, writer)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            made._first = await made._read()
        except BaseException:
            writer.close()
            raise
        return made

    async def next(self) -> Verdict | None:
        """Return the next verdict; None when the agent is gone, hung, or talks nonsense."""
        if self._first is not None:
            verdict, self._first = self._first, None
            return verdict
        try:
            async with asyncio.timeout(SILENT_AFTER):
                return await self._read()
        except (OSError, TimeoutError, ValueError, msgspec.MsgspecError):
            return None

    async def _read(self) -> Verdict:
        answer = json.loads(await self._reader.readline())
        if not isinstance(answer, dict) or "verdict" not in answer:
            raise ValueError("this agent gives no verdicts")
        return msgspec.convert(answer["verdict"], Verdict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


class _Teller:
    """Tells journal and systemd, each thing once, and knows how long we have waited."""

    def __init__(self, policy: GatePolicy, boot: Boot) -> None:
        self.policy = policy
        self.now = boot.seconds
        self._began = boot.seconds()
        self._source = ""
        self._told: tuple[tuple[str, str], ...] = ()
        self._told_at = self._began
        self._last: Verdict | None = None

    @property
    def waited(self) -> float:
        """Seconds since we began."""
        return self.now() - self._began

    def begins(self, asked: GatePolicy) -> None:
        """Say what the limits are, where they are not what was asked for."""
        if asked.limit > self.policy.limit and asked.policy is FailPolicy.OPEN:
            _log.warning(
                "the limit of %.0f s is cut to the cap of %.0f s; raise gate.cap, and with it the start time-out of incus-startup.service",
                asked.limit,
                self.policy.limit,
                extra={"TIDEGATE_EVENT": "gate-limit", "TIDEGATE_CODE": "gate.limit-cut"},
            )
        notify.notify(notify.extend_timeout(STARTING_FOR), notify.status("looks at the storage"))

    def source(self, name: str, *, why: str = "") -> None:
        """Say whose word is taken from now on. The agent's from the start is no news."""
        if name and name != self._source:
            if self._source or name != "the agent":
                _log.info("the gate goes by %s", name, extra={"TIDEGATE_EVENT": "gate-source"})
            self._source = name
        notify.notify(notify.extend_timeout(STARTING_FOR))
        if why:
            _log.warning(
                "%s", why, extra={"TIDEGATE_EVENT": "gate-source", "TIDEGATE_CODE": "gate.no-agent"}
            )

    def waits(self, verdict: Verdict) -> None:
        """Tell systemd that we live and what for, and the journal when that changed."""
        notify.notify(notify.extend_timeout(ALIVE_FOR), notify.status(verdict.sentence))
        self._last = verdict
        causes = tuple((str(cause.subject), cause.code) for cause in verdict.waiting_for)
        now = self.now()
        if causes == self._told or now - self._told_at < LINES_EVERY:
            return
        self._told, self._told_at = causes, now
        _log.info(
            "holds Incus: %s", verdict.sentence, extra=_fields("gate-waits", "gate.waits", verdict)
        )

    def ends(self, verdict: Verdict) -> None:
        """Say how the wait ended."""
        took = f"after {self.waited:.1f} s"
        if verdict.kind is VerdictKind.PASS:
            text, code, level = (
                f"Incus may start {took}: {verdict.sentence}",
                "gate.passed",
                logging.INFO,
            )
        else:
            text, code, level = (
                f"Incus is let go {took}: {verdict.sentence}",
                "gate.gave-up",
                logging.WARNING,
            )
        _log.log(level, "%s", text, extra=_fields("verdict", code, verdict))
        notify.notify(notify.status(text))

    def released(self) -> None:
        """Say that we were told to stop: a shutdown, or an administrator."""
        text = f"released after {self.waited:.1f} s, told to stop"
        if self._last is not None:
            text += f"; it was: {self._last.sentence}"
        _log.info("%s", text, extra=_fields("verdict", "gate.released", self._last))
        notify.notify(notify.status(text))


def _fields(event: str, code: str, verdict: Verdict | None) -> dict[str, str]:
    fields = {"TIDEGATE_EVENT": event, "TIDEGATE_CODE": code}
    if verdict is not None and verdict.waiting_for:
        first = verdict.waiting_for[0]
        fields |= {"TIDEGATE_SUBJECT": str(first.subject), "TIDEGATE_CAUSE": first.code}
    return fields
