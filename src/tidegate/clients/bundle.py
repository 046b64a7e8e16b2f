# SPDX-License-Identifier: Apache-2.0
"""A boot for a colleague: one ``.tar.gz`` with the lines of a journal, what helps to read them, and a page for people.

``journal.jsonl`` has the form of ``journalctl -o json``, so other tools read it too. Nothing is ever unpacked to disk: the members
that are known are read as streams, with limits, and everything else in a bundle is left alone.
"""

import contextlib
import io
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from tidegate.boot.model import Entry, Hints
from tidegate.clients import errors, files
from tidegate.clients.journal import files as journal_files
from tidegate.clients.journal.notes import Notes

JOURNAL: Final = "journal.jsonl"
HINTS: Final = "hints.json"
MANIFEST: Final = "manifest.json"
_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 256 * 1024
_MOST_HINTS: Final = 16 * 1024 * 1024


def is_bundle(path: Path) -> bool:
    """Return True when ``path`` is a packed archive that holds a journal as ours do."""
    try:
        with path.open("rb") as file:
            if file.read(2) != _GZIP:
                return False
        with tarfile.open(path, "r|gz") as archive:
            return any(member.name == JOURNAL for _, member in zip(range(8), archive, strict=False))
    except (OSError, tarfile.TarError, EOFError, zlib.error):
        return False


def entries(path: Path, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of the bundle at ``path``; a damaged one ends early, with a note."""
    try:
        with _member(path, JOURNAL) as file:
            if file is None:
                notes.add(f"{path.name}: holds no {JOURNAL}")
                return
            yield from journal_files.json_lines(_chunks(file), path.name, notes)
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        notes.add(f"{path.name}: damaged, what follows is missing ({error})")


def hints(path: Path, notes: Notes) -> Hints:
    """Return what the bundle at ``path`` knows besides the lines; nothing when that cannot be read."""
    try:
        with _member(path, HINTS) as file:
            content = file.read(_MOST_HINTS) if file is not None else b"{}"
            return msgspec.json.decode(content, type=Hints)
    except (OSError, tarfile.TarError, EOFError, zlib.error, msgspec.MsgspecError) as error:
        notes.add(f"{path.name}: {HINTS} cannot be used ({error})")
        return Hints()


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes] | None]:
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            if member.name == name and member.isfile():
                yield archive.extractfile(member)
                return
        yield None


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def write(path: Path, lines: Iterable[Entry], others: Mapping[str, bytes], *, moment: float) -> int:
    """Write a bundle to ``path``, whole or not at all, for its owner alone; returns how many lines it holds.

    Args:
        path: Where to; what is there is replaced.
        lines: The entries.
        others: The other members by name, :data:`MANIFEST` among them.
        moment: Seconds since the epoch that the members carry.

    Raises:
        ClientError: ``file.*``: it could not be written.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as spool:
            count = 0
            for entry in lines:
                spool.write(line(entry) + b"\n")
                count += 1
            size = spool.tell()
            spool.seek(0)
            _pack(path, spool, size, others, moment)
    except OSError as error:
        trouble = errors.Trouble(
            code="file.error",
            text=f"cannot write {path}: {error.strerror or error}",
            hint="check the directory and its free space, or name another file with --output",
        )
        raise errors.ClientError(trouble) from error
    return count


def _pack(
    path: Path, spool: IO[bytes], size: int, others: Mapping[str, bytes], moment: float
) -> None:
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        beside = Path(file.name)
        try:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
                for name, content in others.items():
                    archive.addfile(_info(name, len(content), moment), io.BytesIO(content))
                archive.addfile(_info(JOURNAL, size, moment), spool)
            file.flush()
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    files.sync_directory(path.parent)


def _info(name: str, size: int, moment: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(moment)
    return info


def line(entry: Entry) -> bytes:
    """Return ``entry`` as ``journalctl -o json`` writes one; what is not known is left out."""
    found: dict[str, str] = {"MESSAGE": entry.message}
    if entry.at is not None:
        found["__MONOTONIC_TIMESTAMP"] = str(round(entry.at * 1e6))
    if entry.wall is not None:
        found["__REALTIME_TIMESTAMP"] = str(round(entry.wall * 1e6))
    named = {
        "__CURSOR": entry.cursor,
        "_BOOT_ID": entry.boot,
        "_HOSTNAME": entry.hostname,
        "SYSLOG_IDENTIFIER": entry.identifier,
        "UNIT" if entry.identifier == "systemd" else "_SYSTEMD_UNIT": entry.unit,
        "_TRANSPORT": entry.transport,
        "_PID": "" if entry.pid is None else str(entry.pid),
        "PRIORITY": "" if entry.priority is None else str(entry.priority),
        **entry.fields,
    }
    found.update({key: value for key, value in named.items() if value})
    return msgspec.json.encode(found)
