"""Scores given continuations of a prompt, cut from it as the joined text's tokens have them."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.engine.contract import Engine, ScoredContinuation


def score_continuations(
    engine: Engine, prompt: tuple[int, ...], continuations: Sequence[str], edition: int
) -> list[ScoredContinuation]:
    """Scores each text after the prompt, in their order. Blocks; raises what the engine raises.

    Continuations that cut the prompt alike, which is nearly always all, share one call.
    """
    pieces = [_cut(engine, prompt, text) for text in continuations]
    scores: dict[int, ScoredContinuation] = {}
    for head in dict.fromkeys(head for head, _ in pieces):
        places = [place for place, (other, _) in enumerate(pieces) if other == head]
        alike = engine.score(head, [pieces[place][1] for place in places], edition)
        scores.update(zip(places, alike, strict=True))
    return [scores[place] for place in range(len(pieces))]


def _cut(engine: Engine, prompt: tuple[int, ...], text: str) -> tuple[tuple[int, ...], list[int]]:
    """Ids of prompt and continuation as the joined text has them.

    A token across the border (a blank that ends the prompt and opens the next word) belongs to the
    continuation. A chat's special tokens do not come back from its text: such a prompt stays whole.
    So does one that would leave nothing to score after.
    """
    joined = engine.detokenize(prompt)
    head, continuation = engine.tokenize_continuation(joined, text)
    if tuple(engine.tokenize(joined)) != prompt:
        return prompt, continuation
    return (tuple(head), continuation) if head else (prompt, engine.tokenize(text))
