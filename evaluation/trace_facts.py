"""Where a model recalls, over many facts: `python -m evaluation.trace_facts --facts 24`.

Prints, for each kind of state and each layer, how much of what noise took away comes back when that
state alone is put back: 0 as drowned, 100 as clean, averaged over facts that the model knows. The
tokens are told apart as the subject's last, those between it and the end, and the prompt's last.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from evaluation.edited_model import EditedModel
from evaluation.editor_probes import FactBook, Triple
from runtime.consolidation.locate import CausalTrace, Kind, Locator
from runtime.engine.load import load_model

BUNDLE = Path(__file__).resolve().parent.parent / "pocket"
PLACES = ("subject's last", "between", "prompt's last")
LOST_MIN = 0.2  # Of probability: where noise takes less away, nothing can be seen to come back.


def regained(found: CausalTrace) -> dict[Kind, Tensor]:
    """Returns the share that comes back, (3, L) for the three places, NaN where there is none."""
    last, end = found.subject.stop - 1, len(found.tokens) - 1
    places = ([last], list(range(last + 1, end)), [end])
    lost = found.clean - found.corrupted
    return {
        kind: torch.stack(
            [
                (scores[rows] - found.corrupted).amax(0) / lost
                if rows
                else torch.full((scores.shape[1],), torch.nan)
                for rows in places
            ]
        )
        for kind, scores in found.scores.items()
    }


def known_facts(book: FactBook, asked: EditedModel, count: int, seed: int) -> list[tuple[str, str]]:
    """Draws (prompt, subject) of facts that the model answers rightly and whose prompt goes on."""
    drawn: list[Triple] = Random(seed).sample(book.triples, min(len(book.triples), 6 * count))
    prompts = [book.ask(one, 0) for one in drawn]
    right = zip(drawn, prompts, asked.answers(prompts), strict=True)
    found = [(prompt, one.subject) for one, prompt, answer in right if answer == one.object]
    return [pair for pair in found if not pair[0].endswith(pair[1])][:count]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints one table a kind of state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(BUNDLE / "base"))
    parser.add_argument("--facts", type=int, default=24)
    parser.add_argument("--samples", type=int, default=4, help="draws of the noise")
    parser.add_argument("--window", type=int, help="layers of MLP or attention put back together")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    loaded = load_model(args.model, device="cpu")
    book = FactBook(BUNDLE / "facts.jsonl", BUNDLE / "relations.json")
    asked = EditedModel(loaded.model, loaded.tokenizer)
    locator = Locator(loaded.model, loaded.tokenizer, samples=args.samples, seed=args.seed)
    traces = [
        locator.trace(prompt, subject, window=args.window)
        for prompt, subject in known_facts(book, asked, args.facts, args.seed)
    ]
    seen = [one for one in traces if one.clean - one.corrupted >= LOST_MIN]
    print(
        f"{len(seen)} facts; noise leaves the answer too likely in {len(traces) - len(seen)} more"
    )
    for kind in Kind:
        means = torch.stack([regained(one)[kind] for one in seen]).nanmean(0)
        print(f"\n{kind.value}: percent regained, layers 0 to {means.shape[1] - 1}")
        for place, row in zip(PLACES, means.tolist(), strict=True):
            print(f"  {place:<15}" + "".join(f"{100 * value:6.0f}" for value in row))


if __name__ == "__main__":
    main()
