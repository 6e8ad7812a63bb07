"""Resource names: `namespaces/{namespace}`, and `/edits/{edit}` or `/editions/{number}` of one."""

from __future__ import annotations

from memory.errors import InvalidInput
from memory.record import DEFAULT_NAMESPACE, EditId, Namespace
from memory.validate import validate_edit_id, validate_namespace

ALL_NAMESPACES = "namespaces/-"
SHOWN_CHARS_MAX = 80


def format_namespace(namespace: Namespace) -> str:
    """Returns the resource name of a namespace."""
    return f"namespaces/{namespace}"


def format_edit(namespace: Namespace, edit_id: EditId) -> str:
    """Returns the resource name of an edit."""
    return f"namespaces/{namespace}/edits/{edit_id}"


def parse_namespace(name: str, *, field: str) -> Namespace:
    """Reads a namespace's resource name; "" is the default one. Raises InvalidInput."""
    if not name:
        return DEFAULT_NAMESPACE
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != "namespaces":
        raise InvalidInput(
            f"{field} is {_shown(name)}; expected namespaces/{{namespace}}, for example "
            f"namespaces/{DEFAULT_NAMESPACE}",
            field=field,
        )
    return validate_namespace(parts[1], field=field)


def parse_namespace_or_all(name: str, *, field: str) -> Namespace | None:
    """Reads a namespace's resource name; None stands for `namespaces/-`, all of them."""
    return None if name == ALL_NAMESPACES else parse_namespace(name, field=field)


def parse_edit(name: str, *, field: str) -> tuple[Namespace, EditId]:
    """Reads an edit's resource name. Raises InvalidInput."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "namespaces" or parts[2] != "edits":
        raise InvalidInput(
            f"{field} is {_shown(name)}; expected namespaces/{{namespace}}/edits/{{edit}}",
            field=field,
        )
    return validate_namespace(parts[1], field=field), validate_edit_id(parts[3], field=field)


def format_edition(namespace: Namespace, number: int) -> str:
    """Returns the resource name of an edition."""
    return f"namespaces/{namespace}/editions/{number}"


def parse_edition(name: str, *, field: str) -> tuple[Namespace, int]:
    """Reads an edition's resource name. Raises InvalidInput."""
    parts = name.split("/")
    sound = len(parts) == 4 and parts[0] == "namespaces" and parts[2] == "editions"
    if not sound or not parts[3].isascii() or not parts[3].isdigit() or len(parts[3]) > 12:
        raise InvalidInput(
            f"{field} is {_shown(name)}; expected namespaces/{{namespace}}/editions/{{number}}, "
            "0 for the model as published",
            field=field,
        )
    return validate_namespace(parts[1], field=field), int(parts[3])


def _shown(name: str) -> str:
    shown = ascii(name[:SHOWN_CHARS_MAX])
    return shown if len(shown) <= SHOWN_CHARS_MAX else shown[: SHOWN_CHARS_MAX - 3] + "..."
