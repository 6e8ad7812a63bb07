"""Are targets found faster in batches than one by one? `python -m benchmarks.targets`.

A random GPT-2 of 12 blocks and 124 million parameters, 256 edits, one run. "reference way" is what
ROME's and MEMIT's code does for each edit: the whole model over all rows and all their positions,
forward and backward, with its whole vocabulary; "one at a time" is ours with batches of one. They
are timed on samples and extrapolated, which the table says; all take the same steps by one rule.
Fewer steps favour the reference, which prepares nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.report import print_table, write_json
from runtime.consolidation.targets import Objective, Place, Targets, find_targets
from runtime.consolidation.tokens import Lesson
from runtime.consolidation.trace import at_last_token, hooked
from runtime.sites import Sites, sites_of

LAYER = 4  # A third of the depth.
HOW = Objective(steps=20, kl_factor=0.0625)  # Steps: unless the command line says otherwise.
Rows = list[list[Lesson]]


def make_model() -> Any:
    """Returns a random GPT-2 small, frozen."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(requires_grad=False)


def make_rows(edits: int) -> tuple[Rows, list[Lesson]]:
    """Returns edits of six rows (bare, five prefixes of twelve tokens) and essence rows.

    Lengths are those of CounterFact under GPT-2's tokenizer: prompts of 7 to 13 tokens, subjects
    that end at token 3 to 6, targets of one or two tokens.
    """
    draw = Random(0)
    taught, kept = [], []
    for fact in range(edits):
        prompt = tuple(draw.randrange(50_000) for _ in range(draw.randint(7, 13)))
        site, answer = draw.randint(3, 6), tuple(draw.sample(range(50_000), draw.randint(1, 2)))
        rows = []
        for number in range(6):
            prefix = tuple(draw.randrange(50_000) for _ in range(12 if number else 0))
            row = Lesson(
                fact=fact,
                prompt=prefix + prompt,
                site=len(prefix) + site,
                answer=answer,
                weight=0.1 if number else 0.5,
            )
            rows.append(row)
        taught.append(rows)
        essence = (*prompt[: site + 1], 318, 257)
        kept.append(Lesson(fact=fact, prompt=essence, site=site, answer=(), weight=0.0))
    return taught, kept


def ours(
    model: Any, rows: Rows, kept: Sequence[Lesson], batch: int, steps: int = HOW.steps
) -> Targets:
    """Finds targets in batches of `batch` facts."""
    sites = sites_of(model)
    return find_targets(
        model,
        sites,
        lessons=rows,
        essence=kept,
        initial=_states(model, sites, rows)[:, None],
        place=Place(first=LAYER + 1),
        objective=Objective(steps=steps, kl_factor=HOW.kl_factor, batch_facts=batch),
        progress=lambda _done, _total: None,
    )


def _states(model: Any, sites: Sites, rows: Rows) -> Tensor:
    block = sites.block(LAYER)
    seen = at_last_token(model, [fact[0].to_site for fact in rows], outputs=[block])
    return seen.outputs[block]


def reference_way(
    model: Any, rows: Rows, kept: Sequence[Lesson], steps_max: int
) -> tuple[Tensor, list[int]]:
    """Finds targets as kmeng01/memit's compute_z does, one edit after another.

    Returns δ (n, d) and the steps of each.
    """
    block = sites_of(model).block(LAYER)
    found, steps = [], []
    for taught, essence in zip(rows, kept, strict=True):
        delta, count = _reference_one(model, block, [*taught, essence], steps_max)
        found.append(delta)
        steps.append(count)
    return torch.stack(found), steps


def _reference_one(
    model: Any, block: str, rows: list[Lesson], steps_max: int
) -> tuple[Tensor, int]:
    texts = [row.prompt + row.answer[:-1] for row in rows]
    width = max(map(len, texts))
    ids = torch.tensor([[*text] + [0] * (width - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
    labels = torch.full_like(ids, -100)
    for number, row in enumerate(rows):
        if row.answer:
            begin = len(row.prompt) - 1
            labels[number, begin : begin + len(row.answer)] = torch.tensor(row.answer)
    places = torch.tensor([row.site for row in rows])
    weights = torch.tensor([row.weight for row in rows])
    delta = torch.zeros(model.config.n_embd, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=HOW.learning_rate)
    start: list[Tensor] = []
    clean: Tensor | None = None

    def add(output: Tensor) -> Tensor:
        if not start:
            start.append(output[0, places[0]].detach().clone())
        output = output.clone()
        output[torch.arange(len(rows)), places] += delta
        return output

    for step in range(steps_max):
        with hooked(model, outputs={block: add}):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        end = logits[-1, len(rows[-1].prompt) - 1].log_softmax(-1)
        clean = end.detach() if clean is None else clean
        chosen = logits.log_softmax(-1).gather(2, labels.clamp(min=0)[..., None])[..., 0]
        real = (labels >= 0).float()
        nll = (-(chosen * real).sum(1) / real.sum(1).clamp(min=1) * weights).sum()
        kl = (clean.exp() * (clean - end)).sum()
        norm = start[0].norm()
        loss = nll + HOW.kl_factor * kl + HOW.weight_decay * delta.norm() / norm.square()
        if float(loss.detach()) < HOW.stop_loss or step == steps_max - 1:
            return delta.detach(), step + 1
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            delta.mul_((HOW.clamp_factor * norm / delta.norm()).clamp(max=1.0))
    raise AssertionError("the loop returns at its last step")


def main() -> None:
    """Times the three ways and compares what they find."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=256)
    parser.add_argument("--sample", type=int, default=6, help="edits timed one by one")
    parser.add_argument("--batched", type=int, default=256, help="edits timed in batches")
    parser.add_argument("--steps", type=int, default=HOW.steps, help="of the search, for all ways")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = make_model()
    rows, kept = make_rows(max(args.batched, args.sample))
    some, few = rows[: args.sample], kept[: args.sample]
    _warm(model, rows, kept)
    begin = time.process_time()
    reference, reference_steps = reference_way(model, some, few, args.steps)
    reference_s = (time.process_time() - begin) / args.sample * args.edits
    begin = time.process_time()
    ours(model, some, few, 1, args.steps)
    single_s = (time.process_time() - begin) / args.sample * args.edits
    begin = time.process_time()
    found = ours(model, rows[: args.batched], kept[: args.batched], args.batch, args.steps)
    batch_s = (time.process_time() - begin) / args.batched * args.edits
    mine = found.delta[: args.sample, 0]
    cosine = torch.cosine_similarity(mine, reference, dim=-1)
    distance = (mine - reference).norm(dim=-1) / reference.norm(dim=-1)
    table: list[dict[str, object]] = [
        {"way": "reference way (extrapolated)", "cpu_s": reference_s, "speed": 1.0},
        {"way": "ours, one at a time (extrapolated)", "cpu_s": single_s,
         "speed": reference_s / single_s},
        {"way": f"ours, batches of {args.batch}", "cpu_s": batch_s,
         "speed": reference_s / batch_s},
    ]  # fmt: skip
    title = f"{args.edits} edits, from {args.sample} one by one and {args.batched} in batches"
    print_table(f"{title}, {args.steps} steps", table)
    same = {
        "lowest_cosine": float(cosine.min()),
        "largest_relative_distance": float(distance.max()),
        "steps_reference": reference_steps,
        "steps_batch": list(found.steps[: args.sample]),
    }
    print(same)
    write_json("targets", {"settings": vars(args), "rows": table, "same": same})


def _warm(model: Any, rows: Rows, kept: list[Lesson]) -> None:
    """Lets the first call's set-up happen before the clock."""
    ours(model, rows[:1], kept[:1], 1)


if __name__ == "__main__":
    main()
