# SPDX-License-Identifier: Apache-2.0
"""The status page that the agent serves: the same findings as ``tidegate status``, live, for a browser. One file, no outside resource."""

from collections.abc import Iterator
from typing import Final

from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.report import look
from tidegate.report.status import grouped
from tidegate.report.terminal import duration

MOST_GROUPS: Final = 40
MOST_MEMBERS: Final = 50
MOST_ROWS: Final = 500
_STYLE: Final = """
.bar{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:baseline}.stale{opacity:.55}
td.sub{white-space:nowrap}
"""
# The server makes the HTML, escaped, of one part of the page; this only puts it in place, and keeps open what the reader has opened.
_SCRIPT: Final = """
'use strict';
const main=document.querySelector('main'),note=document.getElementById('live');
let pause=false;
const button=document.getElementById('pause');
button.hidden=false;
button.onclick=()=>{pause=!pause;button.setAttribute('aria-pressed',pause);button.textContent=pause?'Go on':'Pause';};
async function turn(){
  if(!pause&&!document.hidden){
    try{
      const answer=await fetch('fragment',{cache:'no-store',signal:AbortSignal.timeout(5000)});
      if(!answer.ok)throw new Error(answer.status);
      const html=await answer.text();
      const open=new Set([...main.querySelectorAll('details[open]')].map(d=>d.id));
      const closed=new Set([...main.querySelectorAll('details:not([open])')].map(d=>d.id));
      const focus=document.activeElement&&document.activeElement.closest('details');
      const id=focus&&main.contains(focus)?focus.id:null;
      main.innerHTML=html;
      for(const d of main.querySelectorAll('details')){if(open.has(d.id))d.open=true;else if(closed.has(d.id))d.open=false;}
      if(id){const back=document.getElementById(id);if(back)back.querySelector('summary').focus();}
      main.classList.remove('stale');note.textContent='live';
    }catch(error){main.classList.add('stale');note.textContent='the agent does not answer: this is what it said last';}
  }
  setTimeout(turn,2000);
}
setTimeout(turn,2000);
"""


def render(report: Report, snapshot: Snapshot, *, sentence: str) -> str:
    """Return the whole page. Without JavaScript it shows the moment at which it was asked for."""
    body = (
        '<a class="skip" href="#main">To the findings</a>\n'
        '<p class="soft noprint">Tidegate <span id="live" role="status">as of this moment</span> '
        '<button id="pause" type="button" aria-pressed="false" hidden>Pause</button></p>\n'
        f'<main id="main">{fragment(report, snapshot, sentence=sentence)}</main>'
    )
    return look.page(
        title=f"{report.grade}: {report.node}",
        body=body,
        style=_STYLE,
        script=_SCRIPT,
        connect=True,
    )


def fragment(report: Report, snapshot: Snapshot, *, sentence: str) -> str:
    """Return what changes on the page: head, findings, subjects, sources."""
    return "\n".join(
        [
            *_head(report, snapshot, sentence),
            *_findings(report),
            *_subjects(report),
            *_sources(snapshot),
        ]
    )


def _grade(grade: Grade) -> str:
    return f'<span class="grade {grade}">{grade}</span>'


def _head(report: Report, snapshot: Snapshot, sentence: str) -> Iterator[str]:
    wanted = [
        s for s in report.subjects.values() if s.wanted and s.subject.kind is SubjectKind.INSTANCE
    ]
    known = (
        f"{sum(s.ready for s in wanted)} of {len(wanted)} wanted instances run, " if wanted else ""
    )
    yield (
        f'<div class="bar"><h1>{look.text(report.node)}</h1>{_grade(report.grade)}'
        f"<span>{known}{duration(snapshot.at)} after boot</span></div>"
    )
    if sentence:
        yield f'<p role="status">{look.text(sentence)}</p>'


def _findings(report: Report) -> Iterator[str]:
    groups = list(grouped(report.findings))
    yield "<h2>Findings, worst first</h2>"
    if not groups:
        yield "<p>Nothing is wrong.</p>"
    for group in groups[:MOST_GROUPS]:
        yield from _finding(group, report.at)
    if len(groups) > MOST_GROUPS:
        yield f"<p>… and {len(groups) - MOST_GROUPS} more kinds: <code>tidegate status --format json</code> shows all.</p>"
    muted = [finding for finding in report.findings if finding.muted]
    if muted:
        yield f'<details id="muted"><summary>Muted: {len(muted)}, counted in no grade</summary><ul>'
        yield from (
            f"<li><code>{look.text(one.code)}</code> {look.text(one.subject)}: {look.text(one.observed)}</li>"
            for one in muted[:MOST_MEMBERS]
        )
        yield "</ul></details>"


def _finding(group: tuple[Finding, ...], at: float) -> Iterator[str]:
    first = group[0]
    since = f" for {duration(at - first.since)}" if first.since is not None else ""
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    yield (
        f'<details class="card" id="f-{look.text(first.code)}-{first.grade}"{"" if first.waiting else " open"}>'
        f"<summary>{_grade(first.grade)} <code>{look.text(first.code)}</code> {look.text(first.subject)}{more}{since}</summary>"
    )
    yield f"<p>Seen: {look.text(first.observed)} <span class=soft>(by {first.source}, {duration(first.age)} ago)</span></p>"
    yield f"<p>Expected: {look.text(first.expected)}</p>"
    if first.remedy:
        yield f"<p><strong>What to do:</strong> {look.text(first.remedy)}</p>"
    if len(group) > 1:
        names = ", ".join(look.text(finding.subject) for finding in group[1:MOST_MEMBERS])
        left = len(group) - MOST_MEMBERS
        yield (
            f"<p class=soft>The same: {names}" + (f" and {left} more" if left > 0 else "") + "</p>"
        )
    yield "</details>"


def _subjects(report: Report) -> Iterator[str]:
    states = sorted(
        (state for state in report.subjects.values() if state.wanted),
        key=lambda state: (state.ready, state.subject.kind.depth, state.subject.name),
    )
    yield f'<details id="subjects"><summary>All that is wanted here ({len(states)})</summary>'
    yield '<div class="wide"><table><thead><tr><th scope="col">Subject</th><th scope="col">Grade</th><th scope="col">How it is</th></tr></thead><tbody>'
    yield from map(_row, states[:MOST_ROWS])
    yield "</tbody></table></div>"
    if len(states) > MOST_ROWS:
        yield f"<p>… and {len(states) - MOST_ROWS} more.</p>"
    yield "</details>"


def _row(state: SubjectState) -> str:
    return (
        f'<tr><th scope="row">{look.text(state.subject)}</th><td>{_grade(state.grade)}</td>'
        f"<td>{look.text(state.summary)}</td></tr>"
    )


def _sources(snapshot: Snapshot) -> Iterator[str]:
    parts = []
    for source in Source:
        state = snapshot.source(source)
        word = f"{source} {state.liveness}"
        if state.liveness in {Liveness.LOST, Liveness.STARTING}:
            word += f" for {duration(snapshot.at - state.since)}"
        parts.append(word)
    yield f'<p class="soft">Sources: {", ".join(parts)}</p>'
