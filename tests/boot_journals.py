"""Journals for tests: recordings under ``data/boots``, and lines made by hand as the real programs write them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests import recordings

from tidegate.boot import BootAnalysis, Hints, analyse, analyse_all
from tidegate.boot.model import Entry
from tidegate.clients.journal import read

BOOTS = recordings.DATA / "boots"


def entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of a recording, a file or a folder."""
    notes = read.Notes()
    return read.directory(path, notes) if path.is_dir() else read.file(path, notes)


def recorded(name: str) -> tuple[BootAnalysis, ...]:
    """Return the analyses of the boots in ``data/boots/NAME``."""
    return analyse_all(entries(BOOTS / name))


class Journal:
    """A boot written line by line: ``at`` moves on by itself, or is given."""

    def __init__(self, boot: str = "b" * 32, start: float = 1.0) -> None:
        self.lines: list[Entry] = []
        self.boot = boot
        self.now = start
        self.say("systemd-journald", "Journal started", unit="systemd-journald.service")

    def say(
        self,
        who: str,
        message: str,
        *,
        at: float | None = None,
        unit: str = "",
        priority: int = 6,
        pid: int | None = None,
    ) -> "Journal":
        """Add a line of a program."""
        self.now = at if at is not None else self.now + 0.01
        self.lines.append(
            Entry(
                message=message,
                at=self.now,
                wall=1_795_000_000.0 + self.now,
                unit=unit,
                identifier=who,
                pid=1 if who == "systemd" else pid,
                priority=priority,
                transport="kernel" if who == "kernel" else "journal",
                boot=self.boot,
                hostname="n1",
                cursor=f"c{len(self.lines)}",
                line=len(self.lines) + 1,
                source="journal",
            )
        )
        return self

    def systemd(self, message: str, *, at: float | None = None, priority: int = 6) -> "Journal":
        """Add a line of PID 1."""
        return self.say("systemd", message, at=at, unit="init.scope", priority=priority)

    def kernel(self, message: str, *, at: float | None = None, priority: int = 6) -> "Journal":
        """Add a line of the kernel."""
        return self.say("kernel", message, at=at, priority=priority)

    def incus(self, text: str, *, at: float | None = None) -> "Journal":
        """Add a line of incusd: ``level=error msg="…" err="…"``."""
        return self.say(
            "startup", f'time="2026-11-24T02:21:11Z" {text}', at=at, unit="incus.service"
        )

    def satellite(self, text: str, *, at: float | None = None, level: str = "INFO") -> "Journal":
        """Add a line of the satellite, without its own time (the journal's counts)."""
        return self.say(
            "Satellite",
            text
            if level == ""
            else f"2026-11-24 00:00:00.000 [Main] {level:5} LINSTOR/Satellite/ff0000 SYSTEM - {text}",
            at=at,
            unit="linstor-satellite.service",
        )

    def host_up(self) -> "Journal":
        """Add what every boot has: network, sockets, the satellite's unit of Type=simple."""
        for line in (
            "Finished systemd-modules-load.service - Load Kernel Modules.",
            "Listening on incus.socket - Incus - Daemon (unix socket).",
            "Starting incus-startup.service - Incus - Startup check...",
            "Reached target network-online.target - Network is Online.",
        ):
            self.systemd(line)
        return self.kernel("drbd: initialized. Version: 9.3.3 (api:2/proto:118-124)")

    def satellite_up(
        self, at: float, *, connects: float | None = None, run: float | None = None
    ) -> "Journal":
        """Add a satellite that starts at ``at``, with a controller at ``connects`` and a first run over at ``run``."""
        self.systemd("Started linstor-satellite.service - LINSTOR Satellite Service.", at=at)
        self.satellite("LINSTOR, Module Satellite", level="", at=at + 0.5)
        self.satellite("NetComService started on port /0:0:0:0:0:0:0:0:3366", at=at + 5)
        if connects is not None:
            self.satellite("Controller connected and authenticated (10.0.0.1:35898/1)", at=connects)
            self.satellite("Begin DeviceManager cycle 0", at=connects + 0.9)
            self.satellite("FullSync successful 3", at=connects + 1)
            self.satellite("FullSync sending response 3", at=connects + 1.1)
        if run is not None:
            self.satellite(
                "Not calling 'systemd-notify' as NOTIFY_SOCKET is null", at=run, level="WARN"
            )
            self.satellite("End DeviceManager cycle 0", at=run + 0.01)
        return self

    def incus_up(self, at: float, active: float) -> "Journal":
        """Add an incusd that begins at ``at`` and is active (its autostart over) at ``active``."""
        self.systemd("Starting incus.service - Incus - Main daemon...", at=at)
        self.incus(
            'level=warning msg="AppArmor support has been disabled because of lack of kernel support"',
            at=at + 0.2,
        )
        self.systemd("Finished incus-startup.service - Incus - Startup check.", at=at + 0.5)
        return self.systemd("Started incus.service - Incus - Main daemon.", at=active)

    def analyse(self, *, hints: Hints | None = None, more: Iterable[Entry] = ()) -> BootAnalysis:
        """Return the analysis of the lines so far."""
        return analyse((*self.lines, *more), hints=hints or Hints())


def codes(boot: BootAnalysis) -> list[str]:
    """Return the codes of a boot's first causes, most important first."""
    return [cause.code for cause in boot.first_causes]
