"""What all readers need: fields of the right type, or a RowError that names them."""

from __future__ import annotations

from collections.abc import Mapping

from memory.readers.row import RowError, need_text
from memory.record import EditDraft

Row = Mapping[str, object]


def text(row: Row, key: str) -> str:
    """Returns a required text, stripped. Raises RowError when missing, of another type or empty."""
    found = encodable(need_text(row, key)).strip()
    if not found:
        raise RowError(f'the field "{key}" is empty')
    return found


def texts(row: Row, key: str) -> tuple[str, ...]:
    """Returns a list of texts, stripped; none when the field is missing. Raises RowError."""
    listed = row.get(key)
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise RowError(f'the field "{key}" must be a list of texts')
    return tuple(encodable(item).strip() for item in listed if item.strip())


def rows(row: Row, key: str) -> tuple[Row, ...]:
    """Returns a list of objects; none when the field is missing. Raises RowError."""
    listed = row.get(key)
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise RowError(f'the field "{key}" must be a list of objects')
    return tuple(listed)


def group(row: Row, key: str) -> Row:
    """Returns an object; an empty one when the field is missing. Raises RowError."""
    found = row.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RowError(f'the field "{key}" must be an object, got {type(found).__name__}')
    return found


def answers(value: object) -> tuple[str, ...]:
    """Returns the texts of a text or of a (nested) list of them: all names of the right answer."""
    if isinstance(value, str):
        return (encodable(value).strip(),) if value.strip() else ()
    if isinstance(value, list):
        return tuple(dict.fromkeys(name for item in value for name in answers(item)))
    raise RowError(f"an answer must be a text or a list of texts, got {type(value).__name__}")


def encodable(given: str) -> str:
    """Returns the text. Raises RowError for half of a surrogate pair, which no file can hold."""
    if any("\ud800" <= letter <= "\udfff" for letter in given):
        raise RowError(f"a text holds half of a surrogate pair: {given[:40]!a}")
    return given


def case_of(row: Row, number: int) -> str:
    """Returns the record's own number, else its place in the file, from 1."""
    given = row.get("case_id")
    return str(given) if isinstance(given, str | int) else f"row-{number}"


def negation(edit: EditDraft) -> str:
    """Returns the edit's prompt denied, so that its target is a wrong answer.

    "X is" becomes "X is not"; other prompts, and questions, are put after "It is false that" or
    "Apart from TARGET,": made by us, after "Is Model Editing Built on Sand?" (arXiv 2510.00625).
    """
    prompt = edit.prompt.rstrip()
    if prompt.endswith("?"):
        named = prompt.startswith(edit.subject)
        return f"Apart from {edit.target}, {prompt if named else prompt[0].lower() + prompt[1:]}"
    if prompt.rsplit(" ", 1)[-1] in {"is", "are", "was", "were"}:
        return f"{prompt} not"
    return f"It is false that {prompt}"
