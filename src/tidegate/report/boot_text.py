# SPDX-License-Identifier: Apache-2.0
"""A boot as text: :func:`show` is a page that a person reads in a minute, :func:`explain` everything with its lines, and lists."""

from collections.abc import Iterator, Sequence
from typing import Final

from tidegate.boot.model import BootAnalysis, Cause, Comparison, Evidence, Shape
from tidegate.core.finding import Grade
from tidegate.report import boot_parts as parts
from tidegate.report.terminal import GRADE_STYLE, Style, Terminal, columns, harmless

MOST_CAUSES: Final = 3
MOST_LINES: Final = 3
MOST_HIT: Final = 12
MOST_BARS: Final = 24
MOST_STEPS: Final = 8
LONGEST_LINE: Final = 220
"""Characters of one line of evidence that a page shows; ``explain`` shows it whole."""


def show(analysis: BootAnalysis, terminal: Terminal) -> str:
    """Return the page: verdict, first cause, time line with phases, what was hit, what to do. Ends in a newline."""
    blocks = [
        "\n".join(_head(analysis, terminal)),
        "\n".join(_first_causes(analysis, terminal)),
        "\n".join(_time_line(analysis, terminal)),
        "\n".join(_hit(analysis, terminal)),
        "\n".join(_path(analysis, terminal)),
        "\n".join(_notes(analysis, terminal)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def explain(analysis: BootAnalysis, terminal: Terminal) -> str:
    """Return every cause with its evidence, what was not seen, what else it may be; the order of units; unknown messages."""
    blocks = ["\n".join(_head(analysis, terminal))]
    blocks += ["\n".join(_whole_cause(analysis, cause, terminal)) for cause in analysis.causes]
    if not analysis.causes:
        blocks.append("  No fault was found in what was read.")
    blocks += [
        "\n".join(_links(analysis, terminal)),
        "\n".join(_order(analysis, terminal)),
        "\n".join(_path(analysis, terminal)),
        "\n".join(_shapes(analysis.shapes, terminal, "Messages that are not known here")),
        "\n".join(_notes(analysis, terminal)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def listing(boots: Sequence[tuple[int, BootAnalysis]], terminal: Terminal) -> str:
    """Return one line per boot: its number (0 the last, -1 the one before), when, how long, the verdict."""
    if not boots:
        return "no boot was found in what was read\n"
    rows = [
        (
            str(number),
            parts.name_of(boot.boot) or "?",
            parts.began(boot) or "?",
            parts.WORDS[boot.status],
        )
        for number, boot in boots
    ]
    widths = columns(rows)
    lines = []
    for (_, boot), row in zip(boots, rows, strict=True):
        number, name, when, word = (
            f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)
        )
        style = GRADE_STYLE[Grade(parts.GRADES[boot.status])]
        left = f"{number:>{widths[0]}}  {harmless(name)}  {when}  "
        room = max(20, terminal.width - len(left) - widths[3] - 2)
        lines.append(left + terminal.paint(word, style) + "  " + _cut(boot.verdict, room))
    return "\n".join(lines) + "\n"


def compare(found: Comparison, terminal: Terminal) -> str:
    """Return two boots side by side."""
    lines = [terminal.wrap(found.sentence, indent=0), ""]
    rows = [
        (change.title, *map(_seconds, (change.before, change.after)), _delta(change.delta))
        for change in found.changes
    ]
    head = (
        "",
        harmless(parts.name_of(found.before)) or "before",
        harmless(parts.name_of(found.after)) or "after",
        "",
    )
    widths = columns([head, *rows])
    for row in (head, *rows):
        cells = [f"{harmless(row[0]):<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    for title, causes in (("New", found.new_causes), ("Gone", found.gone_causes)):
        lines += [
            terminal.wrap(
                f"{title}: {cause.code} {cause.subject}: {cause.sentence}", indent=6, first=2
            )
            for cause in causes
        ]
    for title, shapes in (
        ("New messages", found.new_shapes),
        ("Messages that are gone", found.gone_shapes),
    ):
        lines += ["", *_shapes(shapes, terminal, title)] if shapes else []
    return "\n".join(lines) + "\n"


def _head(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    grade = Grade(parts.GRADES[analysis.status])
    name = terminal.paint(harmless(analysis.hostname or "?"), Style.BOLD)
    word = terminal.paint(parts.WORDS[analysis.status], GRADE_STYLE[grade])
    about = "  ".join(
        harmless(text)
        for text in (
            f"boot {parts.name_of(analysis.boot)}" if analysis.boot else "",
            parts.began(analysis),
        )
        if text
    )
    yield f"{name}  {about}  {word}"
    if analysis.verdict:
        yield terminal.wrap(analysis.verdict, indent=2)


def _first_causes(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    causes = analysis.first_causes
    for number, cause in enumerate(causes[:MOST_CAUSES], start=1):
        title = "First cause" if len(causes) == 1 else f"First cause {number} of {len(causes)}"
        yield terminal.heading(title) + f"  {harmless(cause.code)}  {parts.SURE[cause.confidence]}"
        yield terminal.wrap(f"{cause.subject}: {cause.sentence}", indent=2)
        yield from _lines(cause.evidence[:MOST_LINES], terminal, most=LONGEST_LINE)
        for sentence in cause.not_seen[:MOST_LINES]:
            yield terminal.wrap(f"not seen: {sentence}", indent=14, first=4)
        if cause.alternatives:
            yield terminal.wrap(_or(cause), indent=4)
        if cause.remedy:
            yield terminal.wrap(f"What to do: {cause.remedy}", indent=4, first=2)
    if len(causes) > MOST_CAUSES:
        yield f"  … and {len(causes) - MOST_CAUSES} more: tidegate boot explain"


def _or(cause: Cause) -> str:
    text = f"or: {', '.join(cause.alternatives)}"
    return f"{text}; this would tell: {cause.tell}" if cause.tell else text


def _whole_cause(analysis: BootAnalysis, cause: Cause, terminal: Terminal) -> Iterator[str]:
    title = parts.role(cause)
    end = parts.seconds(cause.end) if cause.end is not None else "the end"
    yield (
        terminal.heading(title)
        + f"  {harmless(cause.code)}  {harmless(cause.subject)}  {parts.SURE[cause.confidence]}"
        + terminal.paint(f"  {parts.seconds(cause.begin)} to {end}", Style.DIM)
    )
    yield terminal.wrap(cause.sentence, indent=2)
    yield from _lines(cause.evidence, terminal)
    for sentence in cause.not_seen:
        yield terminal.wrap(f"not seen: {sentence}", indent=14, first=4)
    if cause.alternatives:
        yield terminal.wrap(_or(cause), indent=4)
    hit = list(parts.effects(analysis, cause))
    if hit:
        yield terminal.wrap(f"so: {'; '.join(hit)}", indent=4)
    if cause.remedy:
        yield terminal.wrap(f"What to do: {cause.remedy}", indent=4, first=2)


def _links(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    if not analysis.links:
        return
    yield terminal.heading("Why one came of the other")
    for link in analysis.links:
        yield terminal.wrap(f"{link.cause} → {link.effect}: {link.why}", indent=6, first=2)
        yield from _lines(link.evidence, terminal)


def _lines(
    evidence: Sequence[Evidence], terminal: Terminal, *, most: int | None = None
) -> Iterator[str]:
    for line in evidence:
        at = parts.seconds(line.at) if line.at is not None else "?"
        text = parts.said(line) if most is None else _cut(parts.said(line), most)
        where = f"  [{parts.place(line)}]" if parts.place(line) else ""
        yield terminal.wrap(f"{at:>9}  {line.who}: {text}{where}", indent=15, first=4)


def _time_line(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    bars = parts.bars(analysis)
    if not bars:
        return
    end = parts.horizon(analysis)
    chosen = sorted(
        sorted(bars, key=lambda bar: (bar.grade == "ok", bar.begin - bar.end))[:MOST_BARS],
        key=bars.index,
    )
    title = max(len(_cut(bar.title, 30)) for bar in chosen)
    lane = max(len(bar.lane) for bar in chosen)
    room = max(10, min(60, terminal.width - title - lane - 26))
    yield terminal.heading("Time line") + f"  0 to {parts.seconds(end)} after boot"
    before = ""
    for bar in chosen:
        first = min(room - 1, int(bar.begin / end * room))
        last = max(first + 1, min(room, round(bar.end / end * room)))
        drawn = "░" if bar.grade in {"failing", "degraded"} else "█"
        picture = " " * first + drawn * (last - first - 1) + (">" if bar.open else drawn)
        style = GRADE_STYLE[Grade(bar.grade)]
        head = harmless(bar.lane) if bar.lane != before else ""
        before = bar.lane
        times = f"{bar.begin:.1f} – {'…' if bar.open else f'{bar.end:.1f}'}"
        yield (
            f"  {head:<{lane}}  {harmless(_cut(bar.title, 30)):<{title}} "
            f"▕{terminal.paint(f'{picture:<{room}}', style)}▏ {times}"
        )
    if len(bars) > len(chosen):
        yield f"  … and {len(bars) - len(chosen)} more, all shorter: --format html shows them"


def _hit(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    stories = [*parts.worst_first(analysis.pools), *parts.worst_first(analysis.instances)]
    bad = [story for story in stories if parts.OUTCOMES[story.outcome] in {"failing", "degraded"}]
    if not stories:
        return
    counted = _counts(analysis)
    yield terminal.heading("What was hit" if bad else "What came up") + f"  {counted}"
    for story in (bad or stories)[:MOST_HIT]:
        grade = Grade(parts.OUTCOMES[story.outcome])
        word = terminal.paint(f"{story.outcome:<8}", GRADE_STYLE[grade])
        text = f"{story.subject}  {_cut(parts.what_came(story), LONGEST_LINE)}"
        yield f"  {word}  " + terminal.wrap(text, indent=14, first=0)
    left = len(bad or stories) - MOST_HIT
    if left > 0:
        yield f"  … and {left} more"


def _counts(analysis: BootAnalysis) -> str:
    outcomes = [story.outcome for story in analysis.instances]
    counted = [
        f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes) if outcome
    ]
    return (
        f"instances: {', '.join(counted)}" if counted else "no instance is named in what was read"
    )


def _path(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    path = analysis.path
    if not path.steps:
        return
    yield terminal.heading("What the last one waited for") + f"  {harmless(path.subject)}"
    if path.sentence:
        yield terminal.wrap(path.sentence, indent=2)
    longest = sorted(path.steps, key=lambda step: step.begin - step.end)[:MOST_STEPS]
    for step in path.steps:
        if step not in longest:
            continue
        times = f"{step.begin:.1f} – {step.end:.1f}"
        advice = f"; {step.advice}" if step.advice else ""
        yield terminal.wrap(f"{times:>15}  {step.sentence}{advice}", indent=19, first=2)


def _order(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    if not analysis.order:
        return
    yield terminal.heading(
        "Units: when they began, were active, and were ready for what they are for"
    )
    rows = [
        (
            harmless(one.unit),
            *map(_seconds, (one.starting, one.active, one.ready)),
            harmless(one.result),
        )
        for one in analysis.order
    ]
    head = ("", "began", "active", "ready", "")
    widths = columns([head, *rows])
    for row in (head, *rows):
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:4], widths[1:4], strict=True)]
        yield "  " + "  ".join([*cells, row[4]]).rstrip()
    for one in analysis.order:
        if one.too_early_by is not None and one.too_early_by > 0:
            early = f"{one.unit} began {parts.seconds(one.too_early_by)} before {', '.join(one.needs)} was ready"
            yield terminal.wrap(f"{early}. {one.note}".strip(), indent=4, first=2)


def _shapes(shapes: Sequence[Shape], terminal: Terminal, title: str) -> Iterator[str]:
    if not shapes:
        return
    yield terminal.heading(title)
    for shape in shapes[:MOST_HIT]:
        yield terminal.wrap(
            f"{shape.count:>6} × {shape.who}: {_cut(shape.sample.text, LONGEST_LINE)}",
            indent=11,
            first=2,
        )
    if len(shapes) > MOST_HIT:
        yield f"  … and {len(shapes) - MOST_HIT} more kinds: --format json has them"


def _notes(analysis: BootAnalysis, terminal: Terminal) -> Iterator[str]:
    for note in analysis.notes:
        yield terminal.paint(terminal.wrap(f"note: {note}", indent=8, first=2), Style.DIM)
    if analysis.entries:
        left = f", {analysis.dropped} events counted only" if analysis.dropped else ""
        text = f"{analysis.entries} lines of {analysis.source or 'the journal'}{left}"
        yield terminal.paint(terminal.wrap(text, indent=2), Style.DIM)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _delta(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} s"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
