# SPDX-License-Identifier: Apache-2.0
"""The time line of a boot as a picture: one SVG without script, font or link, for a bug report or a page."""

import math
from typing import Final

from tidegate.boot.model import BootAnalysis
from tidegate.report import boot_parts as parts
from tidegate.report import look
from tidegate.report.boot_parts import Bar

WIDTH: Final = 1000.0
LEFT: Final = 230.0
ROW: Final = 22.0
TOP: Final = 34.0
MOST_BARS: Final = 1500
_NARROW: Final = 3.0
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:currentColor}.t{font-size:11px;opacity:.75}.g{stroke:currentColor;opacity:.15}"
    ".bar.ok{fill:#2f7d46}.bar.degraded{fill:#b07800}.bar.failing{fill:#c22b2b}.bar.unknown{fill:#5a7184}.open{fill-opacity:.55}"
    ".fault{stroke:#c22b2b;stroke-width:1.5;stroke-dasharray:4 3}.lane{font-weight:600}"
)


def render(analysis: BootAnalysis) -> str:
    """Return the picture as a document of its own."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + element(analysis, style=f"<style>svg{{color:#1b1f24;background:#fff}}{_STYLE}</style>")
        + "\n"
    )


def element(analysis: BootAnalysis, *, style: str = "") -> str:
    """Return the ``<svg>`` element. Every bar is a focusable group with a title, so that keyboard and screen reader reach it."""
    bars = parts.bars(analysis)[:MOST_BARS]
    end = parts.horizon(analysis)
    height = TOP + ROW * len(bars) + 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="timeline" viewBox="0 0 {WIDTH:g} {height:g}" role="group"',
        f' aria-label="Time line of the boot, 0 to {parts.seconds(end)}" data-end="{end:.3f}" data-left="{LEFT:g}">',
        style,
        f'<g id="axis">{_axis(end, height)}</g>',
        f'<g id="faults">{"".join(_fault(analysis, end, height))}</g>',
    ]
    before = ""
    for number, bar in enumerate(bars):
        out.append(_bar(bar, number, end, lane=bar.lane != before))
        before = bar.lane
    out.append("</svg>")
    return "".join(out)


def x_of(at: float, end: float) -> float:
    """Return where a moment lies on the picture."""
    return LEFT + (WIDTH - LEFT - 10) * max(0.0, min(at, end)) / end


def step_of(end: float) -> float:
    """Return the distance of two ticks in seconds, a round number, for about ten ticks."""
    raw = end / 10
    size = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)


def _axis(end: float, height: float) -> str:
    step = step_of(end)
    ticks = []
    for number in range(int(end / step) + 1):
        x = x_of(number * step, end)
        label = f"{number * step:g} s"
        ticks.append(
            f'<line class="g" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10:g}" y2="{height:g}"/>'
            f'<text class="t" x="{x + 2:.1f}" y="{TOP - 14:g}">{label}</text>'
        )
    return "".join(ticks)


def _fault(analysis: BootAnalysis, end: float, height: float) -> list[str]:
    lines = []
    for cause in analysis.first_causes[:5]:
        x = x_of(cause.begin, end)
        title = look.text(f"{parts.seconds(cause.begin)}: {cause.sentence}")
        lines.append(
            f'<g data-at="{cause.begin:.3f}"><title>{title}</title>'
            f'<line class="fault" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10:g}" y2="{height:g}"/></g>'
        )
    return lines


def _bar(bar: Bar, number: int, end: float, *, lane: bool) -> str:
    y = TOP + ROW * number
    x, to = x_of(bar.begin, end), x_of(bar.end, end)
    width = max(_NARROW, to - x)
    times = f"{parts.seconds(bar.begin)} to {'the end' if bar.open else parts.seconds(bar.end)}"
    title = look.text(f"{bar.lane}: {bar.title}, {times}. {bar.detail}".strip())
    label = bar.title if len(bar.title) <= 26 else bar.title[:25] + "…"
    heading = (
        f'<text class="lane" x="4" y="{y + 14:g}">{look.text(bar.lane)}</text>' if lane else ""
    )
    shown = "bar open" if bar.open else "bar"
    return (
        f'{heading}<g class="row" tabindex="0" role="img" aria-label="{title}" data-begin="{bar.begin:.3f}" data-end="{bar.end:.3f}">'
        f"<title>{title}</title>"
        f'<text x="78" y="{y + 14:g}">{look.text(label)}</text>'
        f'<rect class="{shown} {bar.grade}" x="{x:.1f}" y="{y + 3:g}" width="{width:.1f}" height="{ROW - 7:g}" rx="2"/></g>'
    )
