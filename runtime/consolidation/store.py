"""Editions on disk: written whole or not at all, checked whenever they are read.

    editions/3/edition.json         what it is (see EditionRecord), closed by its own checksum
    editions/3/matrices.safetensors  the change: MODULE.left and MODULE.right, or MODULE.full

A folder gets its number by the rename that finishes it, so that a numbered folder is complete.
What a crash leaves begins with a dot and is swept at the next start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from memory.errors import EditionUnusable, NotFound, Unavailable
from memory.record import EditId, Namespace
from runtime.consolidation.contract import MatrixDelta
from runtime.consolidation.edition import EditionRecord, HeldEdit, MatrixInfo, Measure
from runtime.consolidation.files import sync_folder, write_durably

logger = logging.getLogger(__name__)

FORMAT, VERSION = "errata-edition", 1
RECORD, MATRICES = "edition.json", "matrices.safetensors"
UNFINISHED = ".unfinished-"


class EditionStore:
    """The editions of one data directory; one process writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashed: dict[int, tuple[tuple[int, int, int], str]] = {}  # File's stamp, its fault.

    def sweep(self) -> None:
        """Takes away what a crash left half written."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.startswith(UNFINISHED):
                    logger.warning("removing the unfinished edition %s", path.name)
                    shutil.rmtree(path, ignore_errors=True)

    def numbers(self) -> tuple[int, ...]:
        """Returns the numbers of all editions, ascending, sound or not."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(int(p.name) for p in self._folder.iterdir() if p.name.isdigit()))

    def write(
        self, record: EditionRecord, matrices: tuple[MatrixDelta, ...], *, above: int
    ) -> EditionRecord:
        """Stores an edition under the next number, above `above`; returns it as stored.

        Durable when it returns. Raises Unavailable when the disk refuses; nothing is left then.
        """
        number = max((above, *self.numbers())) + 1
        content = save(_tensors(matrices))
        stored = replace(
            record,
            number=number,
            matrices=tuple(_info(matrix) for matrix in matrices),
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
        )
        unfinished = self._folder / f"{UNFINISHED}{number}"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            write_durably(unfinished / MATRICES, content)
            write_durably(unfinished / RECORD, _encode(stored))
            sync_folder(unfinished)
            unfinished.rename(self._folder / str(number))
            sync_folder(self._folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise Unavailable(
                f"edition {number} cannot be written to {self._folder}: "
                f"{error.strerror or error}; free {len(content) / 1e6:.0f} MB and try again",
                reason="STORAGE_FULL",
            ) from error
        return stored

    def find_job(self, job: str) -> EditionRecord | None:
        """Returns the edition that a job has written, None when there is none."""
        for number in reversed(self.numbers()):
            try:
                record = self.record(number)
            except EditionUnusable:
                continue
            if record.job == job:
                return record
        return None

    def record(self, number: int) -> EditionRecord:
        """Returns what an edition says of itself. Raises NotFound, EditionUnusable."""
        path = self.path(number) / RECORD
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _damaged(number, path, str(error)) from error
        try:
            return _decode(content, number)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(number, path, str(error)) from error

    def matrices(self, record: EditionRecord) -> tuple[MatrixDelta, ...]:
        """Returns an edition's change, its hash checked. Raises NotFound, EditionUnusable."""
        path = self.path(record.number) / MATRICES
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _damaged(record.number, path, str(error)) from error
        found = hashlib.sha256(content).hexdigest()
        if found != record.sha256:
            said = f"its SHA-256 is {found[:12]}..., not {record.sha256[:12]}..."
            raise _damaged(record.number, path, said)
        try:
            return _matrices(load(content), record.matrices)
        except (SafetensorError, KeyError) as error:
            raise _damaged(record.number, path, str(error)) from error

    def fault(self, record: EditionRecord, *, thorough: bool = True) -> str:
        """Returns what is wrong with an edition's file of matrices; empty when nothing is.

        A file is hashed once and again when it changed; without `thorough` not for the first time.
        """
        path = self._folder / str(record.number) / MATRICES
        try:
            found = path.stat()
        except OSError as error:
            return str(_damaged(record.number, path, error.strerror or str(error)))
        if found.st_size != record.bytes:
            said = f"it has {found.st_size} bytes, not {record.bytes}"
            return str(_damaged(record.number, path, said))
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        known = self._hashed.get(record.number)
        if known is not None and known[0] == stamp:
            return known[1]
        if not thorough:
            return ""
        try:
            self.matrices(record)
            fault = ""
        except (NotFound, EditionUnusable) as error:
            fault = str(error)
        self._hashed[record.number] = (stamp, fault)
        return fault

    def path(self, number: int) -> Path:
        """Returns an edition's folder. Raises NotFound."""
        path = self._folder / str(number)
        if not path.is_dir():
            known = ", ".join(map(str, self.numbers())) or "none but 0"
            raise NotFound(
                f"edition {number} does not exist; known: {known}",
                resource_type="edition",
                resource_name=str(number),
            )
        return path


def check_base(record: EditionRecord, fingerprint: str) -> None:
    """Raises EditionUnusable for an edition of other weights."""
    if record.base_fingerprint != fingerprint:
        raise EditionUnusable(
            f"edition {record.number} was computed for the weights {record.base_fingerprint} "
            f"({record.model}); this server runs {fingerprint}: serve that model in that dtype, "
            "or consolidate again"
        )


def tensors_of(matrix: MatrixDelta) -> dict[str, Tensor]:
    """Returns the parts of a change by their names."""
    parts = {"left": matrix.left, "right": matrix.right, "full": matrix.full}
    return {name: tensor for name, tensor in parts.items() if tensor is not None}


def _tensors(matrices: tuple[MatrixDelta, ...]) -> dict[str, Tensor]:
    return {
        f"{matrix.module}.{name}": tensor.detach().cpu().contiguous()
        for matrix in matrices
        for name, tensor in tensors_of(matrix).items()
    }


def _info(matrix: MatrixDelta) -> MatrixInfo:
    if matrix.full is not None:
        rows, columns = matrix.full.shape
        return MatrixInfo(module=matrix.module, rows=rows, columns=columns, rank=0)
    assert matrix.left is not None
    assert matrix.right is not None
    return MatrixInfo(
        module=matrix.module,
        rows=matrix.left.shape[0],
        columns=matrix.right.shape[1],
        rank=matrix.right.shape[0],
    )


def _matrices(
    tensors: Mapping[str, Tensor], infos: tuple[MatrixInfo, ...]
) -> tuple[MatrixDelta, ...]:
    return tuple(
        MatrixDelta(
            module=info.module,
            left=tensors[f"{info.module}.left"] if info.rank else None,
            right=tensors[f"{info.module}.right"] if info.rank else None,
            full=None if info.rank else tensors[f"{info.module}.full"],
        )
        for info in infos
    )


def _encode(record: EditionRecord) -> bytes:
    said: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(record)}
    said["checksum"] = _checksum(said)
    return json.dumps(said, ensure_ascii=False, indent=1).encode() + b"\n"


def _decode(content: bytes, number: int) -> EditionRecord:
    """Raises ValueError, KeyError or TypeError for what is no record of this edition."""
    said: dict[str, Any] = json.loads(content)
    if said.pop("checksum", None) != _checksum(said):
        raise ValueError("its checksum differs")
    if said.pop("format") != FORMAT or said.pop("version") != VERSION:
        raise ValueError("it was written by another program or version")
    if said["number"] != number:
        raise ValueError(f"it is edition {said['number']} in the folder of {number}")
    edits = (HeldEdit(**{**edit, "edit_id": EditId(edit["edit_id"])}) for edit in said["edits"])
    fields = {
        "namespace": Namespace(said["namespace"]),
        "edits": tuple(edits),
        "measures": tuple(Measure(**one) for one in said["measures"]),
        "matrices": tuple(MatrixInfo(**one) for one in said["matrices"]),
    }
    return EditionRecord(**{**said, **fields})


def _checksum(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _damaged(number: int, path: Path, why: str) -> EditionUnusable:
    return EditionUnusable(
        f"edition {number} is damaged: {path.parent.name}/{path.name} cannot be used ({why}); put "
        "it back from a backup, or consolidate again"
    )
