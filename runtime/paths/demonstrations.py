"""IKE's demonstrations: read from a JSONL file, chosen by kind ratio and similarity, rendered.

IKE, Zheng et al. 2023, arXiv 2305.12740: of 32 places 4 copy, 12 update, 16 retain (1:3:4); within
them the demonstrations whose new facts are nearest to the edit by cosine, the nearest last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np

from memory.contracts import Encoder
from memory.errors import StartupError

RATIO_COPY, RATIO_UPDATE, RATIO_RETAIN = 1, 3, 4


class DemonstrationKind(Enum):
    """What a demonstration teaches."""

    COPY = "copy"  # The new fact asked in its own words.
    UPDATE = "update"  # The new fact asked in other words.
    RETAIN = "retain"  # Something else asked: the new fact is to be ignored.


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One worked example."""

    kind: DemonstrationKind
    fact: str  # The new fact as a line.
    prompt: str
    answer: str


class DemonstrationChooser(Protocol):
    """Picks the demonstrations for an edit."""

    @property
    def fixed(self) -> bool:
        """Whether every edit gets the same ones, so that their keys and values can be reused."""
        ...

    def choose(self, edit_prompt: str, count: int) -> tuple[Demonstration, ...]:
        """Returns at most `count` demonstrations, in the order to show them."""
        ...


def render_demonstration(demonstration: Demonstration) -> str:
    """The demonstration as text, without the blank line that follows it."""
    return f"New Fact: {demonstration.fact}\nPrompt: {demonstration.prompt} {demonstration.answer}"


def load_demonstrations(path: Path) -> tuple[Demonstration, ...]:
    """Reads a JSONL file of {kind, fact, prompt, answer}. Raises StartupError naming the line."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"The demonstrations {path} cannot be read ({error}); name a JSONL file with "
            '{"kind", "fact", "prompt", "answer"} on each line.'
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found.append(
                Demonstration(
                    kind=DemonstrationKind(row["kind"]),
                    fact=str(row["fact"]),
                    prompt=str(row["prompt"]),
                    answer=str(row["answer"]),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StartupError(
                f"{path}, line {number} is no demonstration ({error!r}); expected a JSON object "
                'with "kind" (copy, update or retain), "fact", "prompt" and "answer".'
            ) from error
    return tuple(found)


def places(count: int) -> dict[DemonstrationKind, int]:
    """Splits `count` places in the ratio 1:3:4; what does not divide goes to retain."""
    whole = RATIO_COPY + RATIO_UPDATE + RATIO_RETAIN
    copy = count * RATIO_COPY // whole
    update = count * RATIO_UPDATE // whole
    return {
        DemonstrationKind.COPY: copy,
        DemonstrationKind.UPDATE: update,
        DemonstrationKind.RETAIN: count - copy - update,
    }


class FixedDemonstrations:
    """The same demonstrations for every edit: the first ones of each kind in the file."""

    def __init__(self, demonstrations: Sequence[Demonstration]) -> None:
        self._demonstrations = tuple(demonstrations)

    @property
    def fixed(self) -> bool:
        """Always true."""
        return True

    def choose(self, edit_prompt: str, count: int) -> tuple[Demonstration, ...]:
        """Returns the first of each kind in the ratio, kinds interleaved; ignores the edit."""
        del edit_prompt
        wanted = places(count)
        return _interleave(
            {
                kind: [d for d in self._demonstrations if d.kind is kind][:number]
                for kind, number in wanted.items()
            }
        )


class SimilarDemonstrations:
    """The demonstrations whose facts are nearest to the edit, the nearest last. Thread-safe."""

    def __init__(self, demonstrations: Sequence[Demonstration], encoder: Encoder) -> None:
        self._encoder = encoder
        self._of_kind = {
            kind: [d for d in demonstrations if d.kind is kind] for kind in DemonstrationKind
        }
        self._vectors = {
            kind: encoder.encode_many([d.fact for d in of_kind])  # (m, d), unit
            for kind, of_kind in self._of_kind.items()
        }

    @property
    def fixed(self) -> bool:
        """Always false: they depend on the edit."""
        return False

    def choose(self, edit_prompt: str, count: int) -> tuple[Demonstration, ...]:
        """Returns the nearest of each kind in the ratio, by cosine, ordered nearest last."""
        query = self._encoder.encode(edit_prompt)  # (d,)
        scored: list[tuple[float, int, Demonstration]] = []
        for kind, number in places(count).items():
            cosines = self._vectors[kind] @ query  # (m,)
            nearest = np.argsort(-cosines, kind="stable")[:number]
            scored.extend(
                (float(cosines[i]), len(scored) + n, self._of_kind[kind][i])
                for n, i in enumerate(nearest)
            )
        return tuple(d for _, _, d in sorted(scored, key=lambda row: (row[0], row[1])))


def _interleave(
    of_kind: dict[DemonstrationKind, list[Demonstration]],
) -> tuple[Demonstration, ...]:
    """Spreads the kinds evenly, so that the last demonstrations are not all of one kind."""
    spread = [
        ((place + 0.5) / len(rows), order, row)
        for order, rows in enumerate(of_kind.values())
        for place, row in enumerate(rows)
    ]
    return tuple(row for _, _, row in sorted(spread, key=lambda item: (item[0], item[1])))
