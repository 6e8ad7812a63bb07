"""Retrieval as serving does it, over a pool held in memory, for training and reports.

Exact cosines by numpy and the memory's own subject matcher; no log, no namespaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from memory.record import DEFAULT_NAMESPACE, Candidate, Edit, EditId, Query
from memory.subjects import SubjectMatcher, flag_covered, longest_mentions

if TYPE_CHECKING:
    from memory.contracts import Encoder, Matrix


class FactLike(Protocol):
    """What retrieval needs to know of an edit."""

    @property
    def subject(self) -> str: ...  # noqa: D102
    @property
    def prompt(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> str: ...  # noqa: D102
    @property
    def former(self) -> str | None: ...  # noqa: D102


class RetrievalPool:
    """A pool of edits with their vectors and names; samples stand for memories of other sizes."""

    def __init__(self, facts: Sequence[FactLike], encoder: Encoder, *, seed: int = 0) -> None:
        self._encoder = encoder
        self._random = np.random.default_rng(seed)
        self.edits = [_edit(number, fact) for number, fact in enumerate(facts)]
        self._vectors = self.encode([edit.prompt for edit in self.edits])  # (n, d)
        matcher = SubjectMatcher()
        self._names = matcher.apply(
            [(number, (edit.subject, *edit.aliases)) for number, edit in enumerate(self.edits)], []
        )

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Returns the unit vectors of many texts, (n, d)."""
        return self._encoder.encode_many(texts)

    def candidates(
        self, query: Query, *, home: int | None, size: int, k: int
    ) -> list[tuple[int, Candidate]]:
        """Returns (number in the pool, candidate) by falling cosine, from a memory of `size`.

        The memory is a random sample of the pool that holds `home`, when one is given.
        """
        member = np.ones(len(self.edits), dtype=bool)
        if size < len(self.edits):
            member = self._sample(size, home)
        numbers = np.flatnonzero(member)
        cosines = self._vectors[numbers] @ query.vector
        nearest = numbers[np.argsort(-cosines, kind="stable")[:k]]
        mentioned = [found for found in self._names.find(query.text) if member[found.key]]
        mentions = longest_mentions(flag_covered(mentioned))
        by_vector = set(nearest.tolist())
        wanted = sorted(by_vector | mentions.keys())
        score = {number: float(self._vectors[number] @ query.vector) for number in wanted}
        ordered = sorted(wanted, key=lambda number: -score[number])
        return [
            (
                number,
                Candidate(
                    edit=self.edits[number],
                    cosine=score[number],
                    rank=rank,
                    by_vector=number in by_vector,
                    by_subject=number in mentions,
                    mention=mentions.get(number, ""),
                ),
            )
            for rank, number in enumerate(ordered)
        ]

    def _sample(self, size: int, home: int | None) -> npt.NDArray[np.bool_]:
        """Returns (n,), true for `size` edits of the pool, `home` among them when given."""
        drawn = self._random.choice(len(self.edits), size, replace=False, shuffle=False)
        if home is not None and home not in drawn:
            drawn[self._random.integers(size)] = home
        member = np.zeros(len(self.edits), dtype=bool)
        member[drawn] = True
        return member


def _edit(number: int, fact: FactLike) -> Edit:
    return Edit(
        id=EditId(f"pool-{number}"),
        namespace=DEFAULT_NAMESPACE,
        subject=fact.subject,
        prompt=fact.prompt,
        target=fact.target,
        former=fact.former,
    )
