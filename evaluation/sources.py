"""Which of the program's own sources make an answer: answers of other code are asked for anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "memory",
    "classifiers",
    "runtime",
    "evaluation/bm25.py",
    "evaluation/edited_model.py",
    "evaluation/editor_method.py",
    "evaluation/editors.py",
    "evaluation/memory_method.py",
    "evaluation/method.py",
    "evaluation/metrics.py",
    "evaluation/scopes.py",
    "evaluation/workbench.py",
)


def code_version(root: Path = ROOT, sources: tuple[str, ...] = SOURCES) -> str:
    """Returns a hash of sources, files or folders of them. Raises FileNotFoundError."""
    digest = hashlib.sha256()
    for source in sources:
        path = root / source
        if not path.exists():
            raise FileNotFoundError(f"{path} is named as a source of answers, and is not there")
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()[:12]
