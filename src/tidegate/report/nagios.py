# SPDX-License-Identifier: Apache-2.0
"""A status document as a Nagios or Icinga plugin's answer: one line, perfdata, then details. Standard library only, and little of it.

Exit codes are the plugin's own (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN), not those of the other commands.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs 2 ms, and a monitoring system calls this every minute
    from typing import Any

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OF_GRADE = {"ok": OK, "degraded": WARNING, "failing": CRITICAL, "unknown": UNKNOWN}
MOST_LINES = 20
_BADNESS = ("ok", "degraded", "unknown", "failing")


def answer(
    status: "dict[str, Any]",
    *,
    subjects: "tuple[str, ...]" = (),
    warn_down: "float | None" = None,
    critical_down: "float | None" = None,
) -> "tuple[int, str]":
    """Return (exit code, text) for a status document (``report.document.status``).

    Args:
        status: The document.
        subjects: Judge these alone; default all that is wanted.
        warn_down: What is down is CRITICAL only after so many seconds, WARNING from here on …
        critical_down: … to there, and OK before ``warn_down``: a host that comes up is no alarm.
    """
    wanted = [one for one in status["subjects"] if one["wanted"]]
    chosen = [one for one in status["subjects"] if one["subject"] in subjects] or wanted
    missing = [name for name in subjects if name not in {one["subject"] for one in chosen}]
    if subjects and missing:
        return UNKNOWN, f"TIDEGATE UNKNOWN - nothing is known of {_plain(', '.join(missing))}\n"
    worst = max((one["grade"] for one in chosen), key=_BADNESS.index, default="unknown")
    code = OF_GRADE[worst]
    if code == CRITICAL and critical_down is not None:
        code = _patient(status, chosen, warn_down or 0.0, critical_down)
    lines = [
        f"TIDEGATE {WORDS[code]} - {_plain(_sentence(status, chosen))} | {_perfdata(status, wanted)}"
    ]
    bad = [one for one in chosen if one["grade"] != "ok"]
    bad.sort(key=lambda one: -_BADNESS.index(one["grade"]))
    lines += [
        _plain(f"{one['grade']}: {one['subject']}: {one['summary']}") for one in bad[:MOST_LINES]
    ]
    if len(bad) > MOST_LINES:
        lines.append(f"and {len(bad) - MOST_LINES} more")
    return code, "\n".join(lines) + "\n"


def trouble(text: str) -> "tuple[int, str]":
    """Return (exit code, text) where there is no status to judge."""
    first = " ".join(text.split()) or "no answer"
    return UNKNOWN, f"TIDEGATE UNKNOWN - {_plain(first)}\n"


def _patient(
    status: "dict[str, Any]", chosen: "list[dict[str, Any]]", warn: float, critical: float
) -> int:
    """Return the code when what fails may do so for a while: the oldest of its findings counts."""
    failing = {one["subject"] for one in chosen if one["grade"] == "failing"}
    since = [
        finding["since"]
        for finding in status["findings"]
        if finding["subject"] in failing and finding["since"] is not None
    ]
    lasted = status["at"] - min(since, default=0.0)
    return CRITICAL if lasted >= critical else WARNING if lasted >= warn else OK


def _sentence(status: "dict[str, Any]", chosen: "list[dict[str, Any]]") -> str:
    instances = [one for one in chosen if one["subject"].startswith("instance/")]
    parts = []
    if instances:
        runs = sum(one["ready"] for one in instances)
        parts.append(f"{runs} of {len(instances)} wanted instances run")
    down = [one for one in chosen if not one["ready"]]
    if down:
        parts.append(f"{down[0]['subject']}: {down[0]['summary']}")
    elif not instances:
        parts.append(f"{len(chosen)} subjects are ready")
    return f"{status['node']}: " + "; ".join(parts)


def _perfdata(status: "dict[str, Any]", wanted: "list[dict[str, Any]]") -> str:
    figures = []
    for kind in ("instance", "pool", "volume"):
        of_kind = [one for one in wanted if one["subject"].startswith(f"{kind}/")]
        down = sum(not one["ready"] for one in of_kind)
        figures.append(f"{kind}s_down={down};;;0;{len(of_kind)}")
    grades = [one["grade"] for one in status["findings"] if not one.get("muted")]
    figures += [f"findings_{grade}={grades.count(grade)};;;0" for grade in _BADNESS[1:]]
    lost = sum(state["liveness"] == "lost" for state in status["sources"].values())
    return " ".join([*figures, f"sources_lost={lost};;;0", f"uptime={status['at']:.0f}s;;;0"])


def _plain(text: str) -> str:
    """Return ``text`` without what ends the text of a plugin (``|``) or commands a terminal."""
    return "".join(c if c.isprintable() and c != "|" else "/" if c == "|" else "?" for c in text)
