"""What is wrong with settings, so that it can be mended: key, source, value, nearest known key.

Knows the tree of settings by its field names alone.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

UNKNOWN = "extra_forbidden"  # pydantic's type of error for a key that is none.
LIST = "`errata serve --print-config` lists every setting."
Key = tuple[str, ...]


def known_keys(settings: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Returns the fields of each section."""
    return {
        name: tuple(field.annotation.model_fields)
        for name, field in settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def explain(
    errors: Sequence[Mapping[str, Any]],
    known: Mapping[str, tuple[str, ...]],
    *,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    prefix: str,
    file: str | None,
) -> str:
    """Returns one message for all that pydantic found."""
    in_file = _file_keys(file)
    lines = []
    for problem in errors:
        key: Key = tuple(str(part) for part in problem["loc"])
        source = _source(key, flags, environment, prefix, file if key in in_file else None)
        said = no_such(".".join(key), known) if problem["type"] == UNKNOWN else problem["msg"]
        said = said.removeprefix("Value error, ")  # pydantic's, before a sentence of ours.
        lines.append(f"  {'.'.join(key)} = {problem['input']!r}{source}: {said}")
    return "\n".join(["The settings cannot be used:", *lines, LIST])


def no_such(key: str, known: Mapping[str, tuple[str, ...]]) -> str:
    """Says that a key is none, and which one was probably meant."""
    found = nearest(key, known)
    if found:
        return f"no such setting; the nearest is {found}"
    section, dot, _ = key.partition(".")
    if dot and section in known:
        return f"no such setting; [{section}] has {', '.join(known[section])}"
    return f"no such setting; sections are {', '.join(known)}"


def nearest(key: str, known: Mapping[str, tuple[str, ...]]) -> str:
    """Returns the known key that is most like one: "model.device"; "" when none is."""
    section, _, field = key.partition(".")
    names = [f"{name}.{one}" for name, fields in known.items() for one in fields]
    if not field:  # A whole section, or a field that stands in none.
        alike = difflib.get_close_matches(section, known, 1)
        at_home = [name for name in names if name.endswith(f".{section}")]
        return f"[{alike[0]}]" if alike else " or ".join(at_home)
    if section in known:
        alike = difflib.get_close_matches(field, known[section], 1)
        if alike:
            return f"{section}.{alike[0]}"
    elsewhere = [name for name in names if name.endswith(f".{field}")]
    if section not in known:
        return next(iter(difflib.get_close_matches(key, names, 1)), "")
    return " or ".join(elsewhere)


def misspelt_variables(
    environment: Mapping[str, str], known: Mapping[str, tuple[str, ...]], prefix: str
) -> Iterator[str]:
    """Yields what is wrong with variables that pydantic would pass over in silence.

    One with a single underscore counts only when it is a setting's name else: what a cluster
    injects for a service named errata-server (ERRATA_SERVER_PORT=tcp://...) is left alone.
    """
    single = {
        f"{prefix}{section}_{field}".upper(): f"{prefix}{section}__{field}".upper()
        for section, fields in known.items()
        for field in fields
    }
    for name in environment:
        if not name.upper().startswith(prefix):
            continue
        section, mark, field = name.upper().removeprefix(prefix).lower().partition("__")
        if mark and field and section not in known:
            yield f"{name}: {no_such(f'{section}.{field}', known)}"
        elif name.upper() in single:
            yield (
                f"{name}: no such setting; two underscores part section and field: "
                + (single[name.upper()])
            )


def _source(
    key: Key,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    prefix: str,
    file: str | None,
) -> str:
    """Returns where a value came from; flags win over variables, which win over the file."""
    if len(key) > 1 and key[1] in flags.get(key[0], {}):
        return ""
    wanted = f"{prefix}{'__'.join(key)}".upper()
    for name in environment:
        if name.upper() == wanted or name.upper().startswith(f"{wanted}__"):
            return f" (variable {name})"
    return f" (in {file})" if file else ""


def _file_keys(file: str | None) -> set[Key]:
    """Returns all keys of a TOML file, tables included; none of one that cannot be read."""
    if not file:
        return set()
    try:
        tree = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(_walk(tree, ()))


def _walk(tree: Mapping[str, Any], above: Key) -> Iterator[Key]:
    for name, value in tree.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _walk(value, (*above, name))
