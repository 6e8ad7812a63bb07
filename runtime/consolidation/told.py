"""What an editor is told to leave as it is, as prompts: chosen here, kept in the solve.

They share a fact's sentence or its subject, but not both. The gate asks them too, apart from what
no editor was told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memory.conflicts import normalise
from runtime.consolidation.contract import Fact
from runtime.consolidation.contrasts import other_subjects
from runtime.consolidation.corpus import Corpus
from runtime.consolidation.held import sentences_apart
from runtime.consolidation.hyperparameters import Hyperparameters
from runtime.consolidation.tokens import Codec


def told_to_keep(
    facts: Sequence[Fact], model: Any, codec: Codec, corpus: Corpus, how: Hyperparameters
) -> list[tuple[int, str]]:
    """Returns prompts, each with the place of the fact that it is kept for.

    `model` is the published one. Another edited subject is none of them: what is said of it is to
    change.
    """
    edited = {normalise(fact.subject) for fact in facts}
    swapped = [
        (place, text)
        for place, fact in enumerate(facts)
        for text in other_subjects(
            fact,
            how.subjects_kept(1 + len(fact.paraphrases), len(facts)),
            how.seed,
            corpus.subjects_of(fact.prompt, fact.subject),
            edited,
        )
    ]
    apart = sentences_apart(
        facts,
        model,
        codec,
        counts=[how.sentences_kept(1 + len(fact.paraphrases)) for fact in facts],
        seed=how.seed,
    )
    return swapped + [(place, one.text) for place, listed in enumerate(apart) for one in listed]
