"""Checks that both services make."""

from __future__ import annotations

from memory.errors import InvalidInput


def check_request_id(request_id: str, chars_max: int, *, field: str = "request_id") -> None:
    """Raises InvalidInput for an id that is too long or not printable."""
    if len(request_id) > chars_max or not request_id.isprintable():
        raise InvalidInput(
            f"{field} has {len(request_id)} characters; give at most {chars_max}, all printable",
            field=field,
        )
