# SPDX-License-Identifier: Apache-2.0
"""Text of files + environment + options -> configuration, or errors that name file, key and what is allowed. Pure.

What is stronger wins, key by key: options, ``TIDEGATE_…`` variables, variables of LINSTOR's and Incus's own clients, drop-ins
(the later by name), the main file, defaults. The shell that reads the files is :mod:`tidegate.clients.configfiles`.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from tidegate.config import environment, values
from tidegate.config.model import Config

Files = Sequence[tuple[str, str]]

_ALTERNATIVES: Final = (
    ("linstor.ca", "linstor.ca_file"),
    ("linstor.cert", "linstor.cert_file"),
    ("linstor.key", "linstor.key_file"),
    ("linstor.password", "linstor.password_file"),
)
"""Two ways to say the same: at most one counts, and a stronger place's way ends a weaker one's."""


class ConfigError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the configuration."""

    code: str
    """config.syntax, config.unknown-key, config.wrong-value or config.conflict."""
    place: str
    """The file (with ``:line`` if known), "environment variable NAME" or "option"."""
    key: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.key + ': ' if self.key else ''}{self.problem}"
        return f"{text}; allowed: {self.allowed}" if self.allowed else text


class _Layer(msgspec.Struct, frozen=True):
    """What one place sets: key -> converted value."""

    place: Mapping[str, str]
    """Key -> how the place is called in errors."""
    values: Mapping[str, object]


def load(
    files: Files, env: Mapping[str, str], options: Mapping[str, object]
) -> Config | tuple[ConfigError, ...]:
    """Return the configuration, or everything that is wrong with it.

    ``files`` are (path, TOML text), the main file first, then drop-ins in their order; ``env`` is the whole environment;
    ``options`` are from the command line by key ("linstor.controllers"), values as text or already typed, None meaning unset.
    """
    errors: list[ConfigError] = []
    layers = [_file_layer(path, text, errors) for path, text in files]
    layers += _environment_layers(env, errors)
    layers.append(
        _text_layer(
            {key: ("option", key, v) for key, v in options.items() if v is not None}, errors
        )
    )
    merged: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        errors += _both(layer)
        for key in layer.values:
            for group in _ALTERNATIVES:
                if key in group:
                    for other in group:
                        merged.pop(other, None)
                        origins.pop(other, None)
        merged |= layer.values
        origins |= layer.place
    if not errors:
        errors += _cross_checks(merged, origins)
    if errors:
        return tuple(errors)
    return msgspec.structs.replace(msgspec.convert(_nested(merged), Config), origins=origins)


def all_keys() -> tuple[str, ...]:
    """Return every key that may be set, in the order of the model."""
    return tuple(values.SCHEMA)


def _file_layer(path: str, text: str, errors: list[ConfigError]) -> _Layer:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        errors.append(_syntax(path, text, error))
        return _Layer({}, {})
    found: dict[str, object] = {}
    for key, value in _leaves(document):
        if isinstance(problem := _checked(path, key, value, found), ConfigError):
            errors.append(problem)
    return _Layer(dict.fromkeys(found, path), found)


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield (key, value); a table is entered only where the model has a section of that name."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key in values.SECTIONS:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _checked(place: str, key: str, value: object, found: dict[str, object]) -> ConfigError | None:
    """Put ``value`` into ``found``, converted, or say what is wrong with it."""
    if key in values.SECTIONS:
        return ConfigError(
            code="config.wrong-value",
            place=place,
            key=key,
            problem=f"is a section, not {values.describe(value)}",
            allowed=f"[{key}]",
        )
    if key not in values.SCHEMA:
        return _unknown(place, key)
    try:
        found[key] = values.convert(key, value)
    except ValueError as error:
        return ConfigError(
            code="config.wrong-value",
            place=place,
            key=key,
            problem=str(error),
            allowed=values.allowed(key),
        )
    return None


def _unknown(place: str, key: str) -> ConfigError:
    section = key.rpartition(".")[0]
    while section and section not in values.SECTIONS:
        section = section.rpartition(".")[0]
    siblings = values.names_in(section)
    name = key[len(section) + 1 if section else 0 :]
    word = name.partition(".")[0]
    close = difflib.get_close_matches(word, siblings, n=1) or [
        full for full in values.SCHEMA if full.rpartition(".")[2] == word
    ]
    hint = f", did you mean {close[0]}?" if close else ""
    return ConfigError(
        code="config.unknown-key",
        place=place,
        key=key,
        problem=f"there is no such {'key' if section else 'section'}{hint}",
        allowed=", ".join(siblings),
    )


def _syntax(path: str, text: str, error: tomllib.TOMLDecodeError) -> ConfigError:
    """Say where the TOML is broken. The message of tomllib ends in "(at line 3, column 5)" or "(at end of document)"."""
    message, _, position = str(error).rpartition(" (at ")
    words = position.rstrip(")").replace(",", "").split()
    line = words[1] if words[:1] == ["line"] else str(text.count("\n") + 1)
    problem = (
        f"this is not TOML: {(message or str(error))[:1].lower()}{(message or str(error))[1:]}"
    )
    return ConfigError(code="config.syntax", place=f"{path}:{line}", key="", problem=problem)


def _environment_layers(env: Mapping[str, str], errors: list[ConfigError]) -> list[_Layer]:
    layers = []
    for names in environment.OTHER_CLIENTS:
        entries = {
            key: (f"environment variable {name}", key, env[name])
            for name, key in names.items()
            if env.get(name)
        }
        layers.append(_text_layer(entries, errors))
    own = {environment.variable(key): key for key in values.SCHEMA}
    entries = {
        key: (f"environment variable {name}", name, env[name])
        for name, key in own.items()
        if env.get(name)
    }
    layers.append(_text_layer(entries, errors))
    errors += _unknown_variables(env, own)
    return layers


def _unknown_variables(env: Mapping[str, str], own: Mapping[str, str]) -> Iterator[ConfigError]:
    """Yield an error for a variable that is surely meant for us and is none of ours."""
    sections = tuple(environment.variable(section) + "_" for section in values.SECTIONS)
    for name in sorted(env):
        if not name.startswith(environment.PREFIX) or name in own:
            continue
        close = difflib.get_close_matches(name, own, n=1, cutoff=0.85)
        if close or name.startswith(sections):
            hint = f", did you mean {close[0]}?" if close else ""
            section = next((s for s in sections if name.startswith(s)), environment.PREFIX)
            yield ConfigError(
                code="config.unknown-key",
                place=f"environment variable {name}",
                key="",
                problem=f"there is no such variable{hint}",
                allowed=", ".join(v for v in own if v.startswith(section)),
            )


def _text_layer(
    entries: Mapping[str, tuple[str, str, object]], errors: list[ConfigError]
) -> _Layer:
    """Read values that may be text: key -> (place, name shown in errors, value)."""
    found: dict[str, object] = {}
    for key, (place, shown, value) in entries.items():
        try:
            typed = (
                values.from_text(key, value)
                if isinstance(value, str) and key in values.SCHEMA
                else value
            )
        except ValueError as error:
            typed, problem = None, str(error)
            errors.append(
                ConfigError(
                    code="config.wrong-value",
                    place=place,
                    key=shown if shown == key else "",
                    problem=problem,
                    allowed=values.allowed(key),
                )
            )
            continue
        wrong = _checked(place, key, typed, found)
        if wrong is not None:
            errors.append(msgspec.structs.replace(wrong, key=key))
    return _Layer({key: entries[key][0] for key in found}, found)


def _both(layer: _Layer) -> Iterator[ConfigError]:
    for one, other in _ALTERNATIVES:
        if layer.values.get(one) and layer.values.get(other):
            yield ConfigError(
                code="config.conflict",
                place=layer.place[other],
                key=other,
                problem=f"{one} is set in the same place",
                allowed="one of the two",
            )


def _cross_checks(
    merged: Mapping[str, object], origins: Mapping[str, str]
) -> Iterator[ConfigError]:
    """Yield what is wrong between keys."""
    cert = next((k for k in ("linstor.cert", "linstor.cert_file") if merged.get(k)), None)
    key = next((k for k in ("linstor.key", "linstor.key_file") if merged.get(k)), None)
    if (cert is None) != (key is None):
        there, missing = (cert, "linstor.key_file") if cert else (key, "linstor.cert_file")
        assert there is not None
        yield ConfigError(
            code="config.conflict",
            place=origins[there],
            key=there,
            problem=f"a client certificate and its key belong together, and {missing} is not set",
        )
    fast = merged.get("agent.poll_fast", Config().agent.poll_fast)
    rest = merged.get("agent.poll_rest", Config().agent.poll_rest)
    assert isinstance(fast, float | int)
    assert isinstance(rest, float | int)
    if fast > rest:
        there = next(k for k in ("agent.poll_fast", "agent.poll_rest") if k in merged)
        yield ConfigError(
            code="config.conflict",
            place=origins[there],
            key=there,
            problem=f"agent.poll_fast ({fast:g} s) is slower than agent.poll_rest ({rest:g} s)",
        )


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        table = tree
        for section in sections:
            table = table.setdefault(section, {})
        table[name] = value
    return tree
