# SPDX-License-Identifier: Apache-2.0
"""From an HTTP answer to a value, or to the trouble it means (pure).

The rules are LINSTOR's (facts/linstor.md 4.1): errors are lists of ApiCallRc; a 500 whose entries
have no message means that a satellite was lost while the controller waited for it
(facts/linstor-observed.md A2); a plain port redirects when https is on. "Not found" is said only
when LINSTOR itself says that the object is missing: others conclude from it that a volume is gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from tidegate.clients import http
from tidegate.clients.errors import UNREADABLE, ClientError, Trouble
from tidegate.clients.linstor import wire

_T = TypeVar("_T")
_MAX_TEXT: Final = 600

# How close to a working controller a failure was: of several, the one worth telling comes first.
_TELLING: Final = (
    "controller.unauthorized",
    "controller.tls",
    "controller.redirected",
    "controller.error",
    "controller.timeout",
    "controller.not-linstor",
    "controller.garbage",
    "controller.disconnected",
    "controller.timeout-connect",
    "controller.refused",
    "controller.unreachable",
)


def read(answer: http.Answer, shape: type[_T], url: str) -> _T:
    """The value of an answer, whatever its status; raises `ClientError` with what it means if bad."""
    trouble = check(answer, url)
    if trouble is not None:
        raise ClientError(trouble)
    return decode(answer, shape, url)


def read_health(answer: http.Answer, url: str) -> wire.Health:
    """`/health` answers 200 with nothing, or 500 with a sentence (facts/linstor.md 4.7)."""
    if answer.status == 200 and not answer.body.strip():
        return wire.Health(is_ok=True)
    if answer.status == 500 and not _is_html(answer):
        return wire.Health(is_ok=False, text=_cut(answer.body.decode("utf-8", "replace").strip()))
    raise ClientError(check(answer, url) or _not_linstor(url, _what_it_is(answer)))


def decode(answer: http.Answer, shape: type[_T], url: str) -> _T:
    """Decode a good answer; raises `ClientError` (garbage, not-linstor)."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except msgspec.ValidationError as error:
        raise ClientError(_not_linstor(url, f"JSON of another shape ({error})")) from error
    except UNREADABLE as error:
        if _looks_like_text(answer):
            raise ClientError(_not_linstor(url, _what_it_is(answer))) from error
        raise ClientError(
            Trouble(
                code="controller.garbage",
                text=f"{url}: the answer is not complete JSON ({error})",
                hint="the controller or something before it cut the answer off; it is asked again",
            )
        ) from error


def check(answer: http.Answer, url: str) -> Trouble | None:
    """What an answer's status means; None for success."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return _redirected(answer, url)
    entries = messages(answer.body)
    said = _join(entry.message for entry in entries or ())
    if status in {401, 403}:
        return Trouble(
            code="controller.unauthorized",
            text=_cut(f"{url}: answered {status}{_quoted(said)}"),
            hint="check token (file), user and password; tokens expire: linstor controller auth",
        )
    if entries is None:
        return _not_linstor(url, f"{status} with {_what_it_is(answer)}")
    if status == 404 and not entries:
        return _not_linstor(url, "404 without a word")
    if status == 404 and any(_is_missing(entry) for entry in entries):
        return Trouble(
            code="controller.not-found",
            text=_cut(f"{url}: not found{_quoted(said)}"),
            hint=_join(entry.correction for entry in entries),
        )
    if status >= 500 and not said:
        return _lost_satellite(entries, status, url)
    return Trouble(
        code="controller.error",
        text=_cut(f"{url}: answered {status}{_quoted(said)}"),
        hint=_cut(_error_hint(entries)),
    )


def messages(body: bytes) -> tuple[wire.ApiCallRc, ...] | None:
    """The entries of an error; () for an empty body; None when it is nothing LINSTOR would send."""
    if not body.strip():
        return ()
    try:
        return msgspec.json.decode(body, type=tuple[wire.ApiCallRc, ...])
    except UNREADABLE:
        return None


def none_configured(dropped: Sequence[str]) -> Trouble:
    """No controller to ask; `dropped` are the addresses that were left out because they are our own."""
    if dropped:
        return Trouble(
            code="controller.none-configured",
            text=f"the only controller configured is Tidegate's own guard ({', '.join(dropped)})",
            hint="name the real controllers in Tidegate's configuration",
        )
    return Trouble(
        code="controller.none-configured",
        text="no LINSTOR controller is configured",
        hint="set storage.linstor.controller_connection in Incus, or LS_CONTROLLERS, or controllers "
        "in Tidegate's configuration",
    )


def all_failed(failures: Mapping[str, Trouble]) -> Trouble:
    """One trouble for several controllers that all failed: the most telling code, every text."""
    if len(failures) == 1:
        return next(iter(failures.values()))
    best = min(failures.values(), key=_rank)
    return Trouble(
        code=best.code,
        text=f"no controller of {len(failures)} answers: "
        + "; ".join(failure.text for failure in failures.values()),
        hint=best.hint,
    )


def nameless(url: str) -> ClientError:
    """An answer of the right kind with nothing of LINSTOR's in it."""
    return ClientError(_not_linstor(url, "something without what LINSTOR would say"))


def _rank(trouble: Trouble) -> int:
    return _TELLING.index(trouble.code) if trouble.code in _TELLING else 0


def _redirected(answer: http.Answer, url: str) -> Trouble:
    location = answer.headers.get("Location", "")
    secure = location.startswith("https:") and url.startswith("http:")
    return Trouble(
        code="controller.redirected",
        text=_cut(f"{url}: answered {answer.status}, redirected to {location or 'nowhere'}"),
        hint="the controller wants https: write https:// and its port (3371) in the controller list"
        if secure
        else "write the address it redirects to in the controller list, if it is a controller",
    )


def _lost_satellite(entries: Sequence[wire.ApiCallRc], status: int, url: str) -> Trouble:
    reports = _join(report for entry in entries for report in entry.error_report_ids)
    return Trouble(
        code="controller.lost-satellite",
        text=_cut(
            f"{url}: answered {status} without a message: a satellite was lost while it was asked"
            + (f" (error report {reports})" if reports else "")
        ),
        hint="ask again when the satellite is back; it says nothing about the volume",
    )


def _not_linstor(url: str, what: str) -> Trouble:
    return Trouble(
        code="controller.not-linstor",
        text=_cut(f"{url}: not a LINSTOR controller, it answered {what}"),
        hint="check address and port (3370, with https 3371), and what stands before the controller",
    )


def _looks_like_text(answer: http.Answer) -> bool:
    kind = answer.headers.get("Content-Type", "")
    return _is_html(answer) or (bool(kind) and "json" not in kind.lower())


def _is_html(answer: http.Answer) -> bool:
    return answer.body.lstrip()[:1] == b"<"


def _what_it_is(answer: http.Answer) -> str:
    if _is_html(answer):
        return "an HTML page"
    try:
        msgspec.json.decode(answer.body)
    except UNREADABLE:
        return f"something of type {answer.headers.get('Content-Type') or 'unknown'}"
    return "other JSON"


def _is_missing(entry: wire.ApiCallRc) -> bool:
    """Codes 300-399: an object is missing; a path that LINSTOR does not have is another error (4.1)."""
    return entry.is_error and 300 <= entry.code < 400


def _error_hint(entries: Sequence[wire.ApiCallRc]) -> str:
    parts = [part for entry in entries for part in (entry.cause, entry.correction) if part]
    reports = _join(report for entry in entries for report in entry.error_report_ids)
    if reports:
        parts.append(f"linstor error-reports show {reports}")
    return "; ".join(dict.fromkeys(parts)) or "look at the controller's log"


def _join(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _quoted(said: str) -> str:
    return f": {said}" if said else ""


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
