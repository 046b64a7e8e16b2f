# SPDX-License-Identifier: Apache-2.0
"""A boot as one page that stands alone: verdict, causes with their lines, a time line that zooms. It loads nothing from anywhere.

Without JavaScript, on paper and for a screen reader it says the same: evidence is in ``details``, the time line is a table as well.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from tidegate.boot.model import BootAnalysis, Cause, Evidence, Shape
from tidegate.report import boot_parts as parts
from tidegate.report import boot_svg, look

MOST_EVENTS: Final = 2000
MOST_STORIES: Final = 1000
MOST_SHAPES: Final = 100
_STYLE: Final = """
svg#timeline{width:100%;height:auto;touch-action:pan-y;display:block}svg text{font:12px system-ui,sans-serif;fill:currentColor}
svg .t{font-size:11px;opacity:.75}svg .g{stroke:currentColor;opacity:.15}svg .lane{font-weight:600}
.bar.ok{fill:#2f7d46}.bar.degraded{fill:#b07800}.bar.failing{fill:#c22b2b}.bar.unknown{fill:#5a7184}.open{fill-opacity:.55}
.fault{stroke:#c22b2b;stroke-width:1.5;stroke-dasharray:4 3}g.row:focus{outline:none}g.row:focus rect{stroke:var(--accent);stroke-width:3}
#tools{display:flex;flex-wrap:wrap;gap:.4rem;margin:.4rem 0}#picture{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem;padding:.3rem}
@media (max-width:40rem){svg#timeline{min-width:44rem}}
"""
_SCRIPT: Final = """
'use strict';
const svg=document.getElementById('timeline'),view=document.getElementById('view');
if(svg){
const end=+svg.dataset.end,left=+svg.dataset.left,width=1000-left-10;
let from=0,to=end;
const x=s=>left+width*(s-from)/(to-from);
const height=+svg.getAttribute('viewBox').split(' ')[3];
function step(span){const raw=span/10,size=10**Math.floor(Math.log10(raw));for(const f of [1,2,5,10])if(size*f>=raw)return size*f;}
function draw(){
  const axis=document.getElementById('axis'),s=step(to-from);axis.replaceChildren();
  for(let n=Math.ceil(from/s);n*s<=to+1e-9;n++){
    const at=x(n*s),line=document.createElementNS(svg.namespaceURI,'line'),text=document.createElementNS(svg.namespaceURI,'text');
    line.setAttribute('class','g');line.setAttribute('x1',at);line.setAttribute('x2',at);line.setAttribute('y1',24);line.setAttribute('y2',height);
    text.setAttribute('class','t');text.setAttribute('x',at+2);text.setAttribute('y',20);text.textContent=+(n*s).toFixed(3)+' s';
    axis.append(line,text);
  }
  for(const row of svg.querySelectorAll('g.row')){
    const rect=row.querySelector('rect'),a=Math.max(+row.dataset.begin,from),b=Math.min(+row.dataset.end,to);
    const gone=+row.dataset.end<from||+row.dataset.begin>to;
    rect.style.display=gone?'none':'';
    if(!gone){rect.setAttribute('x',x(a));rect.setAttribute('width',Math.max(3,x(b)-x(a)));}
  }
  for(const f of document.querySelectorAll('#faults g')){
    const at=+f.dataset.at,line=f.querySelector('line');f.style.display=at<from||at>to?'none':'';line.setAttribute('x1',x(at));line.setAttribute('x2',x(at));
  }
  view.textContent=from.toFixed(1)+' s to '+to.toFixed(1)+' s';
}
function zoom(factor,at){
  const span=Math.min(end,Math.max(end/2000,(to-from)*factor)),middle=at===undefined?(from+to)/2:at,share=(middle-from)/(to-from);
  from=Math.max(0,Math.min(end-span,middle-span*share));to=from+span;draw();
}
function move(share){const span=to-from;from=Math.max(0,Math.min(end-span,from+span*share));to=from+span;draw();}
function all(){from=0;to=end;draw();}
document.getElementById('tools').hidden=false;
const act={in:()=>zoom(.5),out:()=>zoom(2),left:()=>move(-.25),right:()=>move(.25),all:all};
for(const b of document.querySelectorAll('#tools button'))b.onclick=()=>act[b.dataset.act]();
document.getElementById('picture').addEventListener('keydown',e=>{
  const key={'+':'in','=':'in','-':'out','ArrowLeft':'left','ArrowRight':'right','0':'all'}[e.key];
  if(key&&!e.ctrlKey&&!e.metaKey&&!e.altKey){e.preventDefault();act[key]();}
  else if(e.key==='Enter'&&e.target.matches('g.row')){from=Math.max(0,+e.target.dataset.begin-.5);to=Math.min(end,+e.target.dataset.end+.5);draw();}
});
const when=e=>{const p=svg.getBoundingClientRect();return from+(to-from)*Math.max(0,((e.clientX-p.left)/p.width*1000-left)/width);};
svg.addEventListener('wheel',e=>{if(e.ctrlKey||e.shiftKey){e.preventDefault();zoom(e.deltaY+e.deltaX>0?1.25:.8,when(e));}},{passive:false});
svg.addEventListener('dblclick',e=>zoom(.5,when(e)));
let grip=null;
svg.addEventListener('pointerdown',e=>{grip={x:e.clientX,from,to};});
svg.addEventListener('pointermove',e=>{if(grip&&e.buttons){const p=svg.getBoundingClientRect(),span=grip.to-grip.from,
  d=(grip.x-e.clientX)/p.width*1000/width*span;from=Math.max(0,Math.min(end-span,grip.from+d));to=from+span;draw();}else grip=null;});
addEventListener('pointerup',()=>{grip=null;});
draw();
}
const fold=document.getElementById('fold');
if(fold){fold.hidden=false;fold.onclick=()=>{const open=fold.getAttribute('aria-pressed')!=='true';fold.setAttribute('aria-pressed',open);
  fold.textContent=open?'Fold all in':'Fold all out';for(const d of document.querySelectorAll('details'))d.open=open;};}
addEventListener('beforeprint',()=>{for(const d of document.querySelectorAll('details.card'))d.open=true;});
"""


def render(analysis: BootAnalysis) -> str:
    """Return the whole page."""
    body = "\n".join(
        [
            '<a class="skip" href="#causes">To the causes</a>',
            *_head(analysis),
            "<main>",
            *_causes(analysis),
            *_time_line(analysis),
            *_stories(analysis),
            *_path(analysis),
            *_order(analysis),
            *_events(analysis),
            *_shapes(analysis.shapes),
            *_notes(analysis),
            "</main>",
        ]
    )
    title = f"{parts.WORDS[analysis.status]}: boot of {analysis.hostname or '?'} {parts.began(analysis)}"
    return look.page(title=title, body=body, style=_STYLE, script=_SCRIPT)


def _head(analysis: BootAnalysis) -> Iterator[str]:
    grade = parts.GRADES[analysis.status]
    yield (
        f"<header><h1>{look.text(analysis.hostname or 'A boot')} "
        f'<span class="grade {grade}">{parts.WORDS[analysis.status]}</span></h1>'
        f'<p class="soft">{look.text(parts.began(analysis))} <code>{look.text(analysis.boot)}</code> '
        f"{look.text(analysis.kernel)}</p>"
        f"<p><strong>{look.text(analysis.verdict)}</strong></p>"
        '<button id="fold" type="button" aria-pressed="false" hidden>Fold all out</button></header>'
    )


def _causes(analysis: BootAnalysis) -> Iterator[str]:
    yield '<h2 id="causes">Causes</h2>'
    if not analysis.causes:
        yield "<p>No fault was found in what was read.</p>"
    for number, cause in enumerate(analysis.causes):
        yield from _cause(analysis, cause, number)


def _cause(analysis: BootAnalysis, cause: Cause, number: int) -> Iterator[str]:
    title = parts.role(cause)
    end = parts.seconds(cause.end) if cause.end is not None else "the end"
    yield (
        f'<details class="card" id="cause-{number}"{" open" if cause.first else ""}><summary><strong>{title}</strong> '
        f"<code>{look.text(cause.code)}</code> {look.text(cause.subject)}: {look.text(cause.sentence)} "
        f'<span class="soft">({parts.SURE[cause.confidence]}, {parts.seconds(cause.begin)} to {end})</span></summary>'
    )
    if cause.remedy:
        yield f"<p><strong>What to do:</strong> {look.text(cause.remedy)}</p>"
    yield from _lines(cause.evidence)
    yield from (f"<p>Not seen: {look.text(sentence)}</p>" for sentence in cause.not_seen)
    if cause.alternatives:
        tell = f"; this would tell: {cause.tell}" if cause.tell else ""
        yield f"<p>Or: {look.text(', '.join(cause.alternatives) + tell)}</p>"
    hit = list(parts.effects(analysis, cause))
    if hit:
        yield f"<p>So: {look.text('; '.join(hit))}</p>"
    for link in analysis.links:
        if link.effect == cause.key:
            yield f"<p>It came of <code>{look.text(link.cause)}</code>: {look.text(link.why)}</p>"
            yield from _lines(link.evidence)
    yield "</details>"


def _lines(evidence: Sequence[Evidence]) -> Iterator[str]:
    if not evidence:
        return
    yield '<ol class="lines mono">'
    for line in evidence:
        at = parts.seconds(line.at) if line.at is not None else "?"
        where = parts.place(line)
        yield (
            f"<li><span class=soft>{at}</span> {look.text(line.who)}: {look.text(parts.said(line))}"
            + (f" <span class=soft>[{look.text(where)}]</span>" if where else "")
            + "</li>"
        )
    yield "</ol>"


def _time_line(analysis: BootAnalysis) -> Iterator[str]:
    bars = parts.bars(analysis)
    if not bars:
        return
    yield "<h2>Time line</h2>"
    yield (
        '<div id="tools" role="toolbar" aria-label="Zoom" hidden><button type="button" data-act="in">Zoom in</button>'
        '<button type="button" data-act="out">Zoom out</button><button type="button" data-act="left" aria-label="Earlier">←</button>'
        '<button type="button" data-act="right" aria-label="Later">→</button><button type="button" data-act="all">All</button>'
        '<span class="soft">Keys + − ← → 0, Enter on a bar; <output id="view"></output></span></div>'
    )
    yield f'<div id="picture" tabindex="0">{boot_svg.element(analysis)}</div>'
    yield "<details><summary>The time line as a table</summary><div class=wide><table><thead><tr>"
    yield "".join(f'<th scope="col">{t}</th>' for t in ("Lane", "What", "From", "To", "How"))
    yield "</tr></thead><tbody>"
    for bar in bars[: boot_svg.MOST_BARS]:
        end = "never ended" if bar.open else parts.seconds(bar.end)
        yield (
            f'<tr><td>{look.text(bar.lane)}</td><th scope="row">{look.text(bar.title)}</th><td>{parts.seconds(bar.begin)}</td>'
            f'<td>{end}</td><td><span class="{bar.grade}">{bar.grade}</span> {look.text(bar.detail)}</td></tr>'
        )
    yield "</tbody></table></div></details>"


def _stories(analysis: BootAnalysis) -> Iterator[str]:
    stories = [*parts.worst_first(analysis.pools), *parts.worst_first(analysis.instances)]
    if not stories:
        return
    yield "<h2>What was hit, and what came up</h2>"
    for story in stories[:MOST_STORIES]:
        grade = parts.OUTCOMES[story.outcome]
        yield (
            f'<details><summary><span class="grade {grade}">{story.outcome}</span> {look.text(story.subject)}: '
            f"{look.text(parts.what_came(story))}</summary>"
        )
        lines = [line for attempt in story.attempts for line in attempt.evidence]
        lines += getattr(story, "evidence", ())
        yield from _lines(lines) if lines else iter(["<p class=soft>No line of its own.</p>"])
        yield "</details>"
    if len(stories) > MOST_STORIES:
        yield f"<p>… and {len(stories) - MOST_STORIES} more.</p>"


def _path(analysis: BootAnalysis) -> Iterator[str]:
    path = analysis.path
    if not path.steps:
        return
    yield f"<h2>What the last one waited for: {look.text(path.subject)}</h2><p>{look.text(path.sentence)}</p><ol>"
    for step in path.steps:
        advice = f" <strong>{look.text(step.advice)}</strong>" if step.advice else ""
        yield f"<li>{step.begin:.1f} – {step.end:.1f} s: {look.text(step.sentence)}{advice}</li>"
    yield "</ol>"


def _order(analysis: BootAnalysis) -> Iterator[str]:
    if not analysis.order:
        return
    yield "<details><summary>Order of units</summary><div class=wide><table><thead><tr>"
    yield "".join(
        f'<th scope="col">{t}</th>' for t in ("Unit", "Began", "Active", "Ready", "Result", "Note")
    )
    yield "</tr></thead><tbody>"
    for one in analysis.order:
        times = "".join(
            f"<td>{'–' if at is None else parts.seconds(at)}</td>"
            for at in (one.starting, one.active, one.ready)
        )
        note = one.note
        if one.too_early_by is not None and one.too_early_by > 0:
            note = (
                f"{parts.seconds(one.too_early_by)} before {', '.join(one.needs)} was ready. {note}"
            )
        yield (
            f'<tr><th scope="row">{look.text(one.unit)}</th>{times}<td>{look.text(one.result)}</td><td>{look.text(note)}</td></tr>'
        )
    yield "</tbody></table></div></details>"


def _events(analysis: BootAnalysis) -> Iterator[str]:
    if not analysis.events:
        return
    yield f"<details><summary>Events ({len(analysis.events)})</summary><ol class='lines mono'>"
    for event in analysis.events[:MOST_EVENTS]:
        count = f" × {event.count}" if event.count > 1 else ""
        said = event.evidence[0].text if event.evidence else event.detail
        yield (
            f"<li><span class=soft>{parts.seconds(event.at)}</span> {look.text(event.kind)} {look.text(event.subject)}{count}: "
            f"{look.text(said)}</li>"
        )
    yield "</ol>"
    if len(analysis.events) > MOST_EVENTS:
        yield f"<p>… and {len(analysis.events) - MOST_EVENTS} more: <code>--format json</code> has them.</p>"
    yield "</details>"


def _shapes(shapes: Sequence[Shape]) -> Iterator[str]:
    if not shapes:
        return
    yield f"<details><summary>Messages that are not known here ({len(shapes)} kinds)</summary><ol class='lines mono'>"
    for shape in shapes[:MOST_SHAPES]:
        yield f"<li>{shape.count} × {look.text(shape.who)}: {look.text(shape.sample.text)}</li>"
    yield "</ol></details>"


def _notes(analysis: BootAnalysis) -> Iterator[str]:
    yield '<footer class="soft">'
    yield from (f"<p>Note: {look.text(note)}</p>" for note in analysis.notes)
    source = analysis.source or "the journal"
    yield f"<p>{analysis.entries} lines of {look.text(source)}, explained by Tidegate.</p></footer>"
