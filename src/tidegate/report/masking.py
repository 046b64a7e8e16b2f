# SPDX-License-Identifier: Apache-2.0
"""Names, addresses and secrets out of lines that go to somebody else; what is left still explains the boot.

Not a list of what is bad: nobody knows all names. A word stays only if it is one of those that messages consist of (the catalogue's
patterns, ``mask_words``, names of units that we know); every other word, every address, long number and hexadecimal run becomes a
pseudonym, the same one wherever it stands, so that lines can still be joined. What follows ``password=`` and the like becomes ``***``.

Kept: moments, small numbers (sizes, ports, exit codes, versions), names of block devices. A name that is also one of the messages' own
words ("storage" for a host) is masked where it is known to be a name; :meth:`Masker.kept` says which could not be.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from tidegate.boot import catalogue, vocabulary
from tidegate.boot.model import Entry, Hints
from tidegate.report.mask_words import WORDS

_IPV4: Final = r"(?<!\d)(?<!\d\.)(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)"
_MAC: Final = r"\b(?:[0-9A-Fa-f]{2}[:-]){5,7}[0-9A-Fa-f]{2}\b"
_IPV6: Final = r"(?<![\w:.])(?=[0-9A-Fa-f:.]*::|(?:[0-9A-Fa-f]{1,4}:){6})(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?!\w|:\w|::)"
_IPV6_PORT: Final = r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?=:\d+\b)"
"""As Java writes an address with its port."""
_TIME: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?|(?<![\w:])\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?![\w:])"
_UUID: Final = r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b"
_DEVICE: Final = (
    r"\b(?:drbd|loop|sd[a-z]{1,2}|nvme\d+n|vd[a-z]|xvd[a-z]|md|dm-|zd|sr)\d*(?:p\d+)?\b(?![-\w])"
)
_WORD: Final = r"[^\W_]+"
_SECRET: Final = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|credential|authorization|bearer|cookie|private[-_]?key)s?"
    r"[\"']?\s*(?:[:=]|\s)\s*[\"']?(?:bearer\s+|basic\s+)?)([^\s\"',;]+)"
)
_SECRET_WORDS: Final = ("pass", "secret", "token", "key", "credential", "auth", "bearer", "cookie")
_PIECES: Final = re.compile(
    f"(?P<time>{_TIME})|(?P<uuid>{_UUID})|(?P<mac>{_MAC})|(?P<ipv6>{_IPV6_PORT}|{_IPV6})|(?P<ipv4>{_IPV4})|(?P<device>{_DEVICE})|(?P<word>{_WORD})"
)
_SPACE: Final = re.compile(r"(\s+)")
MOST_KEPT: Final = 50_000
"""Pieces of lines whose masked form is remembered."""
_HEX: Final = re.compile(
    r"(?=[0-9A-Fa-f]*\d)(?=[0-9A-Fa-f]*[A-Fa-f])[0-9A-Fa-f]{7,}|[0-9A-Fa-f]{16,}"
)
_SHORT_NUMBER: Final = 8
"""Digits of a number that is kept: sizes in KiB, ports, pids; longer ones may be telephone, customer or serial numbers."""
_LOCAL: Final = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::", "0:0:0:0:0:0:0:0"})  # noqa: S104  text, not a place to listen
_NAMED: Final = re.compile(
    r"\b(?:instance|project|pool|member|node|resource|profile|network|user|username|hostname|host|volume|server|location)="
    r"(?:\"((?:[^\"\\]|\\.)+)\"|([^\s\"]+))"
)
_UNIT_WORDS: Final = frozenset(
    ("incus", "lxcfs", "startup", "linstor", "satellite", "controller", "tidegate", "agent", "lxd")
)


@functools.cache
def _vocabulary() -> frozenset[str]:
    """Return the words that stay, in lower case: ours, and those of the catalogue's patterns without what their groups are called."""
    found = set(WORDS) | _UNIT_WORDS
    for text in vocabulary.texts():
        literal = re.sub(r"\(\?P<\w+>|\\[a-zA-Z]", " ", text)
        found.update(word.lower() for word in re.findall(_WORD, literal))
    return frozenset(found)


@functools.cache
def _needed() -> frozenset[str]:
    """Return the words without which the catalogue knows no line any more."""
    found: set[str] = set(_UNIT_WORDS)
    for one in catalogue.ALL:
        found.update(word.lower() for word in re.findall(_WORD, one.literal))
    return frozenset(found)


class Masker:
    """Masks entries, consistently within one bundle.

    Args:
        names: Names that are known: kind of pseudonym (``host``, ``instance``, ``pool`` …) to the names of that kind.
    """

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        self._pseudonyms: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._seen: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._kept: set[str] = set()
        self._shy: dict[str, str] = {}
        """Names that are words of messages as well: masked only where a name must stand, as in ``pool=local``."""
        known: dict[str, str] = {}
        for kind, group in names.items():
            for name in sorted(set(group)):
                self._know(kind, name, known)
        self._known = known
        self._known_pattern = _alternatives(known, r"(?<![^\W_])({})(?![^\W_])")
        self._shy_pattern = _alternatives(self._shy, r"(?<=[=/\"'])({})(?=[\"'/\s,;)]|$)")

    @property
    def kept(self) -> tuple[str, ...]:
        """Names that are words which messages consist of, and were therefore left where they stand in running text."""
        return tuple(sorted(self._kept))

    def entry(self, entry: Entry) -> Entry:
        """Return ``entry`` without names, addresses and secrets. Its cursor, which carries the machine's id, goes."""
        return msgspec.structs.replace(
            entry,
            message=self.text(entry.message),
            unit=self._name(entry.unit),
            identifier=self._name(entry.identifier),
            hostname=self.name("host", entry.hostname) if entry.hostname else "",
            boot=self._hex(entry.boot) if entry.boot else "",
            cursor="",
            source="",
            fields={key: self.text(value) for key, value in entry.fields.items()},
        )

    def hints(self, hints: Hints) -> Hints:
        """Return ``hints`` with the same pseudonyms."""
        return Hints(
            node=self.text(hints.node),
            instances={self.text(k): self.text(v) for k, v in hints.instances.items()},
            volumes={self.text(k): self.text(v) for k, v in hints.volumes.items()},
            linstor_pools=tuple(self.text(one) for one in hints.linstor_pools),
            devices={self.text(k): self.text(v) for k, v in hints.devices.items()},
        )

    def text(self, text: str) -> str:
        """Return ``text`` masked."""
        if not text:
            return text
        low = text.lower()
        if any(word in low for word in _SECRET_WORDS):
            text = _SECRET.sub(r"\1***", text)
        if self._shy_pattern is not None:
            text = self._shy_pattern.sub(lambda match: self._shy[match[0].lower()], text)
        if self._known_pattern is None:
            return self._pieces(text)
        parts = self._known_pattern.split(text)
        # Odd ones are the known names: they were split off as a group.
        return "".join(
            self._known[part.lower()] if number % 2 else self._pieces(part)
            for number, part in enumerate(parts)
        )

    def _name(self, text: str) -> str:
        """Mask what is the same on many lines, once."""
        shown = self._names.get(text)
        if shown is None:
            shown = self.text(text)
            if len(self._names) < MOST_KEPT:
                self._names[text] = shown
        return shown

    def name(self, kind: str, name: str) -> str:
        """Return the pseudonym of a name of that kind."""
        known = self._known.get(name.lower()) or self._shy.get(name.lower())
        return known or self._pseudonym(kind, name)

    def _know(self, kind: str, name: str, known: dict[str, str]) -> None:
        for part in (name, *name.split(".")[:1]) if kind == "host" else (name,):
            if (
                not part
                or (part.isdecimal() and len(part) < 3)
                or part.lower() in {*known, *self._shy}
            ):
                continue
            if part.lower() in _needed():
                self._kept.add(part)
                self._shy[part.lower()] = self._pseudonym(kind, part.lower())
            else:
                known[part.lower()] = self._pseudonym(kind, part.lower())

    def _pieces(self, text: str) -> str:
        """Mask what is between white space, each such piece once: messages repeat themselves."""
        known = self._seen
        parts = _SPACE.split(text)
        for number in range(0, len(parts), 2):
            part = parts[number]
            shown = known.get(part)
            if shown is None:
                shown = _PIECES.sub(self._piece, part)
                if len(known) >= MOST_KEPT:
                    known.clear()
                known[part] = shown
            parts[number] = shown
        return "".join(parts)

    def _piece(self, match: re.Match[str]) -> str:
        kind, text = match.lastgroup, match[0]
        match kind:
            case "time" | "device":
                return text
            case "ipv4":
                return text if text in _LOCAL else self._address("ipv4", text)
            case "ipv6":
                return text if text in _LOCAL else self._address("ipv6", text)
            case "mac":
                return self._address("mac", text)
            case "uuid":
                number = self._number("uuid", text)
                return f"00000000-0000-4000-8000-{number:012x}"
            case _:
                return self._word(text)

    def _word(self, word: str) -> str:
        lower = word.lower()
        if word.isdecimal():
            return word if len(word) <= _SHORT_NUMBER else self._digits(word)
        if len(word) == 1 or lower in _vocabulary():
            return word
        if _HEX.fullmatch(word):
            return self._hex(word)
        split = re.fullmatch(r"([A-Za-z]+)(\d{1,3})", word)
        if split is not None and split[1].lower() in _vocabulary() and len(split[1]) > 3:
            return word  # ext4, md127, Thread12: a word of messages with a number
        return self._pseudonym("x", lower)

    def _pseudonym(self, kind: str, name: str) -> str:
        return f"{kind}{self._number(kind, name.lower())}"

    def _hex(self, text: str) -> str:
        return f"{self._number('hex', text.lower()):0{len(text)}x}"

    def _digits(self, text: str) -> str:
        return f"{self._number('digits', text):0{len(text)}d}"

    def _address(self, kind: str, text: str) -> str:
        number = self._number(kind, text.lower())
        low, high = number % 250 + 1, number // 250
        makers: Mapping[str, Callable[[], str]] = {
            "ipv4": lambda: f"198.{18 + high // 256 % 2}.{high % 256}.{low}",
            "ipv6": lambda: f"2001:db8::{number:x}",
            "mac": lambda: f"02:00:00:00:{number // 256 % 256:02x}:{number % 256:02x}",
        }
        return makers[kind]()

    def _number(self, kind: str, text: str) -> int:
        key = (kind, text)
        found = self._pseudonyms.get(key)
        if found is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            found = self._pseudonyms[key] = str(self._counts[kind])
        return int(found)


def names_in(message: str) -> Iterable[str]:
    """Yield what stands in ``message`` where names stand: ``instance=c1``, ``pool="my pool"``."""
    for match in _NAMED.finditer(message):
        yield match[1] or match[2]


def _alternatives(known: Mapping[str, str], frame: str) -> re.Pattern[str] | None:
    if not known:
        return None
    longest_first = sorted(known, key=lambda name: (-len(name), name))
    return re.compile("(?i)" + frame.format("|".join(map(re.escape, longest_first))))
