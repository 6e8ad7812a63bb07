"""Files that are there whole or not at all, also after the power failed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_durably(path: Path, content: bytes) -> None:
    """Writes a new file and waits for the disk. Raises OSError."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, content: bytes) -> None:
    """Writes a file so that a crash leaves the old one or the new one. Raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        write_durably(temporary, content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> None:
    """Writes a value as JSON, durably. Raises OSError."""
    replace_durably(path, json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n")


def read_json(path: Path) -> Any:
    """Returns the value of a JSON file, None when there is none. Raises OSError, ValueError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return json.loads(content)
