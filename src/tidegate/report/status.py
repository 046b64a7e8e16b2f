# SPDX-License-Identifier: Apache-2.0
"""One screen: how every layer is, which subject is not ok and what it waits for; worst first."""

from collections.abc import Iterator, Sequence

from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.report.terminal import Style, Terminal, columns, duration, harmless

_LAYERS = (
    SubjectKind.HOST,
    SubjectKind.CONTROLLER,
    SubjectKind.SATELLITE,
    SubjectKind.STORAGE_POOL,
    SubjectKind.VOLUME,
    SubjectKind.INCUS,
    SubjectKind.POOL,
    SubjectKind.INSTANCE,
)
MOST_SHOWN = 12
"""More kinds of findings than this are counted, not shown: the first cause is among the first."""
MOST_NAMED = 4
"""Of the subjects that share a finding, so many are named besides the first."""
_HANG = 12
"""Columns before a finding's text."""


def render(report: Report, snapshot: Snapshot, terminal: Terminal, *, sentence: str = "") -> str:
    """Return the status screen as text ending in a newline. ``sentence`` says what recovery does now."""
    blocks = [
        _head(report, snapshot, terminal),
        "\n".join(_layers(report, terminal)),
        "\n".join(_findings(report, terminal)),
        "\n".join(_muted(report, terminal)),
        _sources(snapshot, terminal),
    ]
    if sentence:
        blocks.insert(2, terminal.wrap(sentence, indent=2))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(report: Report, snapshot: Snapshot, terminal: Terminal) -> str:
    instances = [state for state in _of(report, SubjectKind.INSTANCE) if state.wanted]
    running = sum(state.ready for state in instances)
    if instances:
        known = f"{running} of {len(instances)} wanted instances run"
    elif _nothing_here(snapshot):
        known = "neither LINSTOR nor Incus is here"
    else:
        known = "no wanted instance is known"
    name = terminal.paint(harmless(report.node), Style.BOLD)
    return f"{name}  {terminal.grade(report.grade)}  {known}, {duration(snapshot.at)} after boot"


def _nothing_here(snapshot: Snapshot) -> bool:
    both = (Source.LINSTOR, Source.INCUS)
    return all(snapshot.source(source).liveness is Liveness.OFF for source in both)


def _of(report: Report, kind: SubjectKind) -> list[SubjectState]:
    return [state for state in report.subjects.values() if state.subject.kind is kind]


def _layers(report: Report, terminal: Terminal) -> Iterator[str]:
    rows = [row for kind in _LAYERS if (row := _layer(report, kind)) is not None]
    label, grade, _ = columns([(name, str(worst), "") for name, worst, _ in rows]) or (0, 0, 0)
    for name, worst, summary in rows:
        text = terminal.beside(summary, indent=label + grade + 6)
        yield f"  {name:<{label}}  {terminal.grade(worst, width=grade)}  {text}"


def _layer(report: Report, kind: SubjectKind) -> tuple[str, Grade, str] | None:
    states = [state for state in _of(report, kind) if state.wanted]
    if not states:
        return None
    worst = max(states, key=lambda state: state.grade.badness)
    if kind.is_single:
        return str(kind), worst.grade, _brief(worst.summary)
    ready = sum(state.ready for state in states)
    verb = "run" if kind is SubjectKind.INSTANCE else "ready"
    summary = f"{ready} of {len(states)} {verb}"
    if ready < len(states):
        first = next(state for state in states if not state.ready)
        summary += f"; {_short(first)}"
    return f"{kind}s", worst.grade, summary


def _short(state: SubjectState) -> str:
    return f"{state.subject.name} {_brief(state.summary)}" if state.summary else state.subject.name


def _brief(summary: str) -> str:
    """Return "waits for X" without what X waits for: that stands in X's own line above."""
    return summary.partition(": ")[0] if summary.startswith("waits for ") else summary


def _findings(report: Report, terminal: Terminal) -> Iterator[str]:
    groups = list(grouped(report.findings))
    if not groups:
        return
    yield terminal.heading("Findings, worst first")
    for group in groups[:MOST_SHOWN]:
        yield from finding_lines(group[0], report.at, terminal)
        if len(group) > 1:
            yield terminal.wrap(_others(group[1:]), indent=12)
    if len(groups) > MOST_SHOWN:
        yield f"  … and {len(groups) - MOST_SHOWN} more: tidegate status --format json shows all"


def grouped(findings: Sequence[Finding]) -> Iterator[tuple[Finding, ...]]:
    """Yield the findings that are neither ok nor muted, those of one code and grade together, in the order of the first of each."""
    groups: dict[tuple[Grade, str], list[Finding]] = {}
    for finding in findings:
        if finding.grade is not Grade.OK and not finding.muted:
            groups.setdefault((finding.grade, finding.code), []).append(finding)
    return (tuple(group) for group in groups.values())


def _muted(report: Report, terminal: Terminal) -> Iterator[str]:
    """Yield what is muted, a line each: out of the grade, not out of sight."""
    muted = [finding for finding in report.findings if finding.muted]
    if not muted:
        return
    yield terminal.heading("Muted (tidegate health list)")
    for finding in muted[:MOST_SHOWN]:
        text = f"{finding.code}  {harmless(str(finding.subject))}: {finding.observed}"
        yield terminal.wrap(text, indent=4, first=2)
    if len(muted) > MOST_SHOWN:
        yield f"  … and {len(muted) - MOST_SHOWN} more"


def _others(findings: Sequence[Finding]) -> str:
    names = ", ".join(str(finding.subject) for finding in findings[:MOST_NAMED])
    left = len(findings) - MOST_NAMED
    return f"the same: {names}" + (f" and {left} more" if left > 0 else "")


def finding_lines(finding: Finding, at: float, terminal: Terminal) -> Iterator[str]:
    """Yield one finding as lines: what, about whom, the evidence with its age, and the remedy."""
    since = f" for {duration(at - finding.since)}" if finding.since is not None else ""
    grade = f"  {terminal.grade(finding.grade, width=8)}  "
    about = f"{finding.code}  {harmless(str(finding.subject))}"
    if _HANG + len(about) + len(since) <= terminal.width:
        yield grade + about + terminal.paint(since, Style.DIM)
    else:
        yield grade + terminal.beside(about + since, indent=_HANG)
    yield terminal.wrap(
        f"seen: {finding.observed} (by {finding.source}, {duration(finding.age)} ago)", indent=12
    )
    yield terminal.wrap(f"expected: {finding.expected}", indent=12)
    if finding.remedy:
        yield terminal.wrap(f"→ {finding.remedy}", indent=14, first=12)


def _sources(snapshot: Snapshot, terminal: Terminal) -> str:
    parts = []
    for source in Source:
        state = snapshot.source(source)
        if source.is_optional and state.liveness is not Liveness.LOST:
            continue
        text = f"{source} {state.liveness}"
        if state.liveness in {Liveness.LOST, Liveness.STARTING}:
            text += f" for {duration(snapshot.at - state.since)}"
        elif state.liveness is Liveness.UP and state.answered_at is not None:
            text += f" {duration(snapshot.at - state.answered_at)} ago"
        parts.append(text)
    return terminal.paint(
        terminal.wrap("sources: " + ", ".join(parts), indent=11, first=2), Style.DIM
    )
