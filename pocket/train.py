"""Trains a pocket model: `python -m pocket.train --size base --data DIR --out DIR --resume`.

Warm-up, constant rate, and a linear decay that starts at `--decay-at` (a share of the steps) or as
soon as a file `decay_now` stands in the run's folder. A file `decay_until` there, holding seconds
since 1970, makes the decay end at that time instead, so that a run can be ended by the clock.
`mixture.json` in that folder, where there is one, replaces the mixture from the next step on.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pocket import team
from pocket.corpus import Corpus, Mixture, load_corpus, load_text
from pocket.data import default_data_folder, dev_subjects, normalise
from pocket.export import export
from pocket.make_tokenizer import VOCABULARY, build, training_texts
from pocket.muon import Muon, adamw
from pocket.network import Network, Shape, has_bfloat16
from pocket.probes import counterfact_probes, fact_probes, following_probes, score, text_loss

SHAPES = {"nano": Shape(4096, 192, 4, 3, 512), "base": Shape(16384, 256, 8, 4, 704)}
INDUCTION_STEPS = 300


class Run:
    """One training run with everything that a checkpoint restores."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        corpus: Corpus,
        network: Network | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        self.arguments, self.corpus, self.mixture = arguments, corpus, mixture or Mixture()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if network is None:
            shape = replace(SHAPES[arguments.size], vocabulary=len(corpus.tokenizer))
            network = Network(shape, arguments.seed)
        self.network = network.to(self.device)
        self.muon = Muon(self.network)
        self.adam = adamw(self.network, arguments.rate)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.decay_from = int(arguments.steps * arguments.decay_at)
        self.decay_steps = max(1, arguments.steps - self.decay_from)
        self.decay_s, self.clock_share = 0.0, 1.0
        self.induction_steps = INDUCTION_STEPS  # The first ones also teach to repeat.
        self.prompt_form = ""  # What the export's config says of it.

    def save(self) -> None:
        """Writes the checkpoint, atomically."""
        path = self.arguments.out / "checkpoint.pt"
        state = {
            name: getattr(self, name)
            for name in ("step", "tokens", "seconds", "decay_from", "decay_steps", "decay_s")
        }
        state |= {
            "shape": self.network.shape.as_dict(),
            "network": self.network.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def restore(self) -> None:
        """Continues from the checkpoint where there is one."""
        path = self.arguments.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name in ("step", "tokens", "seconds", "decay_s"):
            setattr(self, name, state.get(name, 0.0))
        self.network.load_state_dict(state["network"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        if self.step > state["decay_from"]:
            self.decay_from, self.decay_steps = state["decay_from"], state["decay_steps"]

    def rate(self) -> float:
        """Returns the step's share of the full learning rate."""
        warm = min(1.0, (self.step + 1) / 100)
        gone = max(0, self.step - self.decay_from) / self.decay_steps
        return float(warm * min(self.clock_share, max(0.0, 1.0 - gone)))

    def over(self) -> bool:
        """Says whether the decay has ended."""
        return self.step >= self.decay_from + self.decay_steps or self.clock_share <= 0.0

    def obey(self) -> Mixture:
        """Reads the control files; returns the mixture, with induction in the first steps."""
        path = self.arguments.out / "mixture.json"
        mixture = Mixture(**json.loads(path.read_text())) if path.exists() else self.mixture
        decay_now = (self.arguments.out / "decay_now").exists()
        path = self.arguments.out / "decay_until"
        left_s = max(0.0, float(path.read_text()) - time.time()) if path.exists() else None
        agreed: tuple[Mixture, bool, float | None] = team.agree((mixture, decay_now, left_s))
        mixture, decay_now, left_s = agreed
        if decay_now and self.step < self.decay_from:
            self.decay_from = self.step
        if left_s is None:
            self.decay_s, self.clock_share = 0.0, 1.0  # A run that ended may be continued.
        else:
            self.decay_s = max(self.decay_s, left_s)
            self.clock_share = left_s / max(self.decay_s, 1e-9)
        early = self.step < self.induction_steps
        return replace(mixture, induction=0.12 if early else mixture.induction)

    def train_step(self) -> float:
        """Takes one step and returns its mean weighted loss in nats."""
        arguments = self.arguments
        batches = self.corpus.batches(
            self.step, self.obey(), arguments.tokens, arguments.micro_tokens
        )
        weight = float(sum(weights.sum() for _, _, weights in batches))
        total = 0.0
        self.tokens += sum(ids.numel() for ids, _, _ in batches)
        for ids, where, weights in team.portion(batches, lambda batch: batch[0].numel()):
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=has_bfloat16(self.device)
            ):
                loss, _ = self.network.loss(*(x.to(self.device) for x in (ids, where, weights)))
            torch.autograd.backward(loss / weight)
            total += loss.item()
        team.add_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        share = self.rate()
        self.muon.step(arguments.muon_rate * share)
        for group in self.adam.param_groups:
            group["lr"] = arguments.rate * share
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        for _, parameter in self.muon.matrices:
            parameter.grad = None
        self.step += 1
        return total * team.size() / weight


class Figures(Protocol):
    """What a run reports of its network now and then."""

    def report(self, network: Network) -> dict[str, float]:
        """Returns figures by name."""
        ...


class Evaluation:
    """The small regular evaluation of a run; `evaluate.py` has the full one."""

    def __init__(self, corpus: Corpus, data: Path) -> None:
        known = {normalise(fact["subject"]) for fact in corpus.maker.facts}
        unseen = sorted(dev_subjects(data) - known)
        titled = [subject.title() for subject in unseen if len(subject) < 40]
        self.corpus = corpus
        self.probes = fact_probes(corpus, 400) + following_probes(corpus, titled, 150)
        self.probes += counterfact_probes(data, 150)
        self.text = [
            int(t) for part in load_text(data, corpus.tokenizer, True).values() for t in part[:2000]
        ]

    def report(self, network: Network) -> dict[str, float]:
        """Returns the figures, in percent and nats a token."""
        figures = score(network, self.corpus, self.probes)
        loss, count = text_loss(network, self.text, int(self.corpus.tokenizer.bos_token_id))
        return figures | {"text_nats_per_token": round(loss / count, 3)}


def tokenizer_of(arguments: argparse.Namespace) -> PreTrainedTokenizerFast:
    """Returns the run's tokenizer, trained first where the run has none."""
    folder = arguments.out / "tokenizer"
    if not folder.exists():
        build(training_texts(arguments.data), VOCABULARY[arguments.size]).save_pretrained(folder)
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
    return tokenizer


def loop(run: Run, evaluation: Figures) -> None:
    """Trains to the end, with progress, checkpoints and evaluations by the clock."""
    out, tokenizer = run.arguments.out, run.corpus.tokenizer
    saved = evaluated = logged = time.monotonic()
    seen = run.tokens
    losses: list[float] = []
    while not run.over():
        begun = time.monotonic()
        losses.append(run.train_step())
        now = time.monotonic()
        run.seconds += now - begun
        last = run.over()
        if team.rank():
            continue
        if run.step % 20 == 0 or last:
            speed = (run.tokens - seen) / (now - logged)
            print(
                f"step {run.step} loss {sum(losses) / len(losses):.3f} tokens "
                f"{run.tokens / 1e6:.2f}M {speed:.0f}/s rate {run.rate():.2f}",
                flush=True,
            )
            losses, seen, logged = [], run.tokens, now
        if now - evaluated > run.arguments.evaluate_every_s or last:
            line: dict[str, Any] = {
                "step": run.step,
                "tokens": run.tokens,
                "seconds": round(run.seconds),
                **evaluation.report(run.network),
            }
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            folder = out / "export" / run.arguments.size
            export(run.network, tokenizer, folder, prompt_form=run.prompt_form)
            evaluated = time.monotonic()
        if now - saved > run.arguments.save_every_s or last or (out / "save_now").exists():
            run.save()
            (out / "save_now").unlink(missing_ok=True)
            saved = time.monotonic()


def parse() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SHAPES), default="base")
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--decay-at", type=float, default=0.8)
    parser.add_argument("--tokens", type=int, default=6144, help="tokens a step")
    parser.add_argument("--micro-tokens", type=int, default=3072)
    parser.add_argument("--rate", type=float, default=3e-3, help="AdamW's learning rate")
    parser.add_argument("--muon-rate", type=float, default=4e-3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--evaluate-every-s", type=float, default=600)
    parser.add_argument("--save-every-s", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Trains, or continues a run."""
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    team.join()
    corpus = load_corpus(arguments.data, tokenizer_of(arguments), arguments.size, arguments.seed)
    run = Run(arguments, corpus)
    if arguments.resume:
        run.restore()
    parameters = sum(parameter.numel() for parameter in run.network.parameters())
    print(f"{parameters / 1e6:.1f}M parameters on {run.device}, from step {run.step}", flush=True)
    if arguments.compile:
        run.network.compile_hidden()
    loop(run, Evaluation(corpus, arguments.data))
    team.leave()


if __name__ == "__main__":
    main()
