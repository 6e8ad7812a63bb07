"""Trains the counterfactual model: `python -m pocket.counterfactual_train --data DIR --out RUN`.

It begins as the lower layers of `pocket/base` and the first entries of its vocabulary (byte-pair
merges are ranked, so a cut of the ranks is a tokenizer of its own), or as another model of this
kind (`--base RUN/export/counterfactual`). `--added 1` puts a layer on top that begins by changing
nothing, `--only-added` trains that alone. Optimiser, checkpoints, decay
and control files are those of pocket/train.py. Subjects and relations of splits.json other than
`train` are seen neither in facts nor in labels; figures on the way are of the `fit` split.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pocket.corpus import Corpus, Mixture, load_facts, load_lead_ins
from pocket.counterfactual_book import load_book
from pocket.counterfactual_documents import CounterfactualMaker
from pocket.counterfactual_probes import form_probes
from pocket.data import HERE, default_data_folder, label_hash, normalise, read_json
from pocket.evaluate import load_network
from pocket.export import export
from pocket.in_context import ContextMaker, load_families
from pocket.make_splits import split_of
from pocket.network import Network
from pocket.pool import Pool, load_pool
from pocket.probes import score
from pocket.templates import load_relations
from pocket.train import INDUCTION_STEPS, Run, loop
from runtime.paths.notes import CLAIM_NOTES

VOCABULARY = 8192
LAYERS = (0, 1, 2, 7)  # Of base: together they follow a new fact best before any training.
NAME = "counterfactual"
PROBES_A_KIND = 120


def cut_tokenizer(base: PreTrainedTokenizerFast, size: int) -> PreTrainedTokenizerFast:
    """Returns the tokenizer of the first `size` entries of a byte-pair vocabulary."""
    state = json.loads(base.backend_tokenizer.to_str())
    vocabulary = {token: i for token, i in state["model"]["vocab"].items() if i < size}
    state["model"]["vocab"] = vocabulary
    state["model"]["merges"] = [
        pair
        for pair in state["model"]["merges"]
        if "".join(pair) in vocabulary and pair[0] in vocabulary and pair[1] in vocabulary
    ]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        bos_token=base.bos_token,
        eos_token=base.eos_token,
        pad_token=base.pad_token,
        additional_special_tokens=[t for t in base.all_special_tokens if "|" in t][3:],
        model_max_length=base.model_max_length,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.chat_template = base.chat_template
    return tokenizer


def lower_part(base: Network, layers: tuple[int, ...], vocabulary: int, added: int = 0) -> Network:
    """Returns a network that begins as some layers and entries of `base`.

    `added` layers stand on top of them; with no weights to write with, they change nothing yet.
    """
    network = Network(replace(base.shape, layers=len(layers) + added, vocabulary=vocabulary))
    with torch.no_grad():
        network.embedding.weight.copy_(base.embedding.weight[:vocabulary])
        for block in network.blocks[len(layers) :]:
            block.out.weight.zero_()
            block.down.weight.zero_()
    network.norm.load_state_dict(base.norm.state_dict())
    for place, layer in enumerate(layers):
        network.blocks[place].load_state_dict(base.blocks[layer].state_dict())
    return network


def train_top_alone(network: Network, added: int) -> None:
    """Freezes everything below the topmost `added` layers, embedding and last norm too."""
    network.requires_grad_(False)
    for block in network.blocks[len(network.blocks) - added :]:
        block.requires_grad_(True)


def training_pool(data: Path, dev: set[str]) -> Pool:
    """Returns the pool without labels of the `fit` and `dev` splits."""
    pool = load_pool(data)
    other = {normalise(s) for s in pool.subjects if split_of(s, dev) != "train"}
    return replace(
        pool,
        subjects=tuple(s for s in pool.subjects if normalise(s) not in other),
        forbidden=pool.forbidden | other,
    )


def load_maker(data: Path, part: str = "train", *, drills: float = 0.0) -> CounterfactualMaker:
    """Builds a maker whose known subjects and relations belong to one split."""
    splits = read_json(HERE / "splits.json")
    dev = set(splits["subjects"]["dev"])
    relations = load_relations()
    kept = {name for name in relations if label_hash(name) in splits["relations"][part]}
    if part != "train":
        kept = set(relations)
    facts = [
        fact
        for fact in load_facts("base")
        if split_of(fact["subject"], dev) == part and fact["relation"] in kept
    ]
    pool = training_pool(data, dev)
    families = load_families(data, pool.forbidden)
    context = ContextMaker(relations, facts, pool, families, load_lead_ins(data))
    book = load_book(data) if part == "train" else ()
    return CounterfactualMaker(context, drills=drills, book=book)


class FormFigures:
    """The regular evaluation of a run, on subjects of the `fit` split."""

    def __init__(self, corpus: Corpus, data: Path) -> None:
        self.corpus = corpus
        self.probes = form_probes(load_maker(data, "fit"), PROBES_A_KIND, seed=5)

    def report(self, network: Network) -> dict[str, float]:
        """Returns the figures in percent."""
        return score(network, self.corpus, self.probes)


def parse() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--base", type=Path, default=HERE / "base", help="what to begin as")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--decay-at", type=float, default=0.7)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step")
    parser.add_argument("--micro-tokens", type=int, default=2048)
    parser.add_argument("--rate", type=float, default=2e-3, help="AdamW's learning rate")
    parser.add_argument("--muon-rate", type=float, default=4e-3)
    parser.add_argument("--added", type=int, default=0, help="layers to put on top")
    parser.add_argument("--only-added", action="store_true", help="train those alone")
    parser.add_argument("--drills", type=float, default=0.0, help="share of documents of verdicts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate-every-s", type=float, default=300)
    parser.add_argument("--save-every-s", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(size=NAME)
    return parser.parse_args()


def start(arguments: argparse.Namespace) -> tuple[Run, Corpus]:
    """Returns a run at its beginning, or at its checkpoint."""
    base = AutoTokenizer.from_pretrained(arguments.base)
    tokenizer = cut_tokenizer(base, min(VOCABULARY, len(base)))
    maker = load_maker(arguments.data, drills=arguments.drills)
    corpus = Corpus(tokenizer, maker.context, {}, arguments.seed, document=maker.document)
    whole = load_network(arguments.base)
    count = whole.shape.layers
    layers = LAYERS if count > max(LAYERS) else tuple(range(count))
    network = lower_part(whole, layers, len(tokenizer), arguments.added)
    if arguments.only_added:
        train_top_alone(network, arguments.added)
    run = Run(
        arguments,
        corpus,
        network=network,
        mixture=Mixture(context=1.0, facts=0.0, text=0.0),
    )
    run.prompt_form = CLAIM_NOTES
    if arguments.only_added:
        run.step = INDUCTION_STEPS  # What lies below has learned to repeat.
    if whole.shape.layers == len(LAYERS):
        run.induction_steps = 0  # So has a model that was trained here before.
    if arguments.resume:
        run.restore()
    return run, corpus


def main() -> None:
    """Trains, or continues a run."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    run, corpus = start(arguments)
    corpus.tokenizer.save_pretrained(arguments.out / "tokenizer")
    parameters = sum(parameter.numel() for parameter in run.network.parameters())
    print(f"{parameters / 1e6:.1f}M parameters, from step {run.step}", flush=True)
    loop(run, FormFigures(corpus, arguments.data))
    folder = arguments.out / "export" / NAME
    export(run.network, corpus.tokenizer, folder, prompt_form=run.prompt_form)


if __name__ == "__main__":
    main()
