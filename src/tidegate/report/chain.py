# SPDX-License-Identifier: Apache-2.0
"""The answer to "why": from the subject down to the first cause, each step with its evidence, then what to do."""

from collections.abc import Sequence

from tidegate.core.finding import Finding, Report, SubjectState
from tidegate.report.status import finding_lines
from tidegate.report.terminal import Terminal, harmless


def render(
    report: Report, state: SubjectState, steps: Sequence[Finding], terminal: Terminal
) -> str:
    """Return the chain as text ending in a newline; ``steps`` from the subject down to its first cause."""
    subject = harmless(str(state.subject))
    if state.ready and not steps:
        return _well(report, state, terminal)
    verb = "is ready, with remarks" if state.ready else "is not ready"
    lines = [f"{terminal.heading(subject)} {verb}: {harmless(state.summary)}", ""]
    for number, finding in enumerate(steps, start=1):
        first, *rest = finding_lines(finding, report.at, terminal)
        lines.append(f"{number:>2}{first}")
        lines.extend(rest)
    if steps:
        lines += ["", *_conclusion(steps[-1], terminal)]
    return "\n".join(lines) + "\n"


def _well(report: Report, state: SubjectState, terminal: Terminal) -> str:
    """Return the text for a subject with nothing to say against it; what it rests on may be another matter: it runs all the same."""
    subject = harmless(str(state.subject))
    below = [lower for name in state.rests_on if (lower := report.state(name)) is not None]
    bad = [lower for lower in below if not lower.ready]
    rests = ", ".join(harmless(str(lower.subject)) for lower in below)
    said = f"{subject} is ready" + (f": {harmless(state.summary)}" if state.summary else "")
    if rests and not bad:
        said += f"; it rests on {rests}, all ready"
    lines = [terminal.wrap(said, indent=2, first=0)]
    lines += [
        terminal.wrap(f"although {lower.subject} is not ready: {lower.summary}", indent=4, first=2)
        for lower in bad
    ]
    if bad:
        hint = f"`tidegate why {bad[0].subject}` says more"
        lines.append(terminal.wrap(hint, indent=4, first=2))
    return "\n".join(lines) + "\n"


def _conclusion(cause: Finding, terminal: Terminal) -> list[str]:
    text = f"First cause: {cause.subject}: {cause.observed}."
    lines = [terminal.wrap(text, indent=2, first=0)]
    if cause.waiting:
        lines.append(
            terminal.wrap(
                "This is a normal part of coming up; it ends by itself.", indent=2, first=0
            )
        )
    if cause.remedy:
        lines.append(terminal.wrap(f"What to do: {cause.remedy}", indent=2, first=0))
    return lines
