"""Compares the two paths and the bare target (`python -m pocket.counterfactual_evaluate`).

Every probe is asked with its own edit (no router), greedily, to its natural end, through the
server's own engines and paths. Counted is whether the whole answer is right, by kind. Probes are
CounterFact's and zsRE's evaluation records, and our own forms about subjects of evaluation files,
which no training document of the counterfactual model names. Then the same by the form that the
server reads, and in wordings of the router's phrasebook that neither model has read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

from evaluation.metrics import Rate, exact, rate
from evaluation.records import clean_rephrase
from memory.record import DEFAULT_NAMESPACE, Edit, EditId
from pocket.counterfactual_book import load_book
from pocket.counterfactual_probes import form_queries
from pocket.counterfactual_train import load_maker
from pocket.data import HERE, default_data_folder, read_json
from pocket.templates import fill
from runtime.engine.contract import Engine as EngineContract
from runtime.engine.contract import EngineRequest, Sampling
from runtime.engine.stream import collect
from runtime.engine.transformers_engine import TransformersEngine
from runtime.paths.choice import AUTO, choose_path
from runtime.paths.contract import Path as AnswerPath
from runtime.paths.contract import PathInput
from runtime.paths.counterfactual import CounterfactualPath
from runtime.paths.forms import form_of
from runtime.paths.in_context import InContextPath

ANSWER_TOKENS = 32
AT_ONCE = 16
NEW = ("new wording", "new relation")  # Kinds of probes from the phrasebook.
VERBATIM = "target verbatim"
AS_ASKED = "the query as asked"  # The counterfactual model without what the path rewrites.


@dataclass(frozen=True, slots=True, kw_only=True)
class FormProbe:
    """One query about one edit, with its only right answer."""

    kind: str
    edit: Edit
    asked: PathInput
    answer: str


def edit_of(subject: str, prompt: str, target: str) -> Edit:
    """Returns an edit that stands in no memory."""
    return Edit(
        id=EditId("probe"),
        namespace=DEFAULT_NAMESPACE,
        subject=subject,
        prompt=prompt,
        target=target,
    )


def data_set_probes(data: Path, count: int, seed: int = 1) -> list[FormProbe]:
    """Returns probes of CounterFact's and zsRE's evaluation records."""
    random, probes = Random(seed), []
    records = read_json(data / "counterfact/val.json")
    for record in random.sample(records, min(count, len(records))):
        edit = edit_of(record["subject"], record["prompt"], record["target_new"])
        rephrase = record["rephrase_prompt"]
        for kind, prompt in (
            ("counterfact prompt", record["prompt"]),
            ("counterfact rephrase", rephrase),
            ("counterfact rephrase cleaned", clean_rephrase(rephrase, record["subject"])),
        ):
            probes.append(_probe(kind, edit, prompt, edit.target))
    records = read_json(data / "zsre/dev.json")
    for record in random.sample(records, min(count, len(records))):
        edit = edit_of(record["subject"], record["src"], record["alt"])
        probes.append(_probe("zsre question", edit, record["src"], edit.target))
        probes.append(_probe("zsre rephrase", edit, record["rephrase"], edit.target))
    return probes


def form_probes(data: Path, part: str, count: int, seed: int = 2) -> list[FormProbe]:
    """Returns probes of our own forms about subjects of one split; a chat form besides."""
    probes = []
    for kind, fact, (prompt, answer) in form_queries(load_maker(data, part), count, seed):
        edit = edit_of(fact.subject, fill(fact.used, fact.subject), fact.target)
        probes.append(_probe(kind, edit, prompt, answer))
        if kind == "question":
            chat = PathInput(messages=(("user", prompt),), max_tokens=ANSWER_TOKENS)
            probes.append(FormProbe(kind="chat turn", edit=edit, asked=chat, answer=answer))
    return probes


def book_probes(data: Path, part: str, count: int, seed: int = 3) -> list[FormProbe]:
    """Returns probes in wordings, and in whole relations, of the router's phrasebook held out.

    Neither model has read these wordings; subjects are those of one split.
    """
    random, context = Random(seed), load_maker(data, part).context
    subjects = sorted({fact["subject"] for fact in context.facts})
    known = [relation for relation in load_book(data) if relation.held_out]
    others = load_book(data, trained=False)
    probes = []
    for kind, book in zip(NEW, (known, others), strict=True):
        for _ in range(count):
            relation, subject = random.choice(book), random.choice(subjects)
            told = random.choice(relation.stated)
            wordings = {*relation.held_out, *(() if book is known else relation.phrasings)} - {told}
            asked = fill(random.choice(sorted(wordings)), subject)
            target = random.choice(relation.answers or (context.pool.answer(random),))
            probes.append(
                _probe(kind, edit_of(subject, fill(told, subject), target), asked, target)
            )
    return probes


def _probe(kind: str, edit: Edit, prompt: str, answer: str) -> FormProbe:
    asked = PathInput(prompt=prompt, max_tokens=ANSWER_TOKENS)
    return FormProbe(kind=kind, edit=edit, asked=asked, answer=answer)


def answers(engine: EngineContract, path: AnswerPath, probes: Sequence[FormProbe]) -> list[str]:
    """Returns the greedy answer to every probe, some at a time, in their order."""

    def one(numbered: tuple[int, FormProbe]) -> str:
        number, probe = numbered
        prepared = path.prepare(probe.asked, [probe.edit])
        request = EngineRequest(
            request_id=str(number),
            prompt_tokens=prepared.prompt_tokens,
            sampling=Sampling(max_tokens=ANSWER_TOKENS),
            answer_tokens=prepared.answer_tokens,
        )
        return collect(engine, request)[0]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, enumerate(probes)))


def chosen(probe: FormProbe) -> str:
    """Returns the path that "auto" takes for a probe."""
    query = probe.asked.prompt or probe.asked.messages[-1][1]
    return choose_path(query, [probe.edit]).path


def rates(method: str, probes: Sequence[FormProbe], given: Sequence[str]) -> dict[str, list[Rate]]:
    """Returns, by kind, the share of right answers; out of scope also of those that claim."""
    found: dict[str, list[Rate]] = {}
    for kind in dict.fromkeys(probe.kind for probe in probes):
        pairs = [(p, g) for p, g in zip(probes, given, strict=True) if p.kind == kind]
        found[kind] = [rate(method, [exact(g, p.answer) for p, g in pairs])]
        if kind == "unknown":
            claims = [exact(g, p.edit.target) for p, g in pairs]
            found["unknown: the target is claimed"] = [rate(method, claims)]
    return found


def by_form(probe: FormProbe) -> FormProbe:
    """Returns the probe with the form that the server reads as its kind."""
    form = form_of(probe.asked.query, probe.edit).name.lower().replace("_", " ")
    return replace(probe, kind=f"{probe.kind}, {form}" if probe.kind in NEW else form)


def show(title: str, table: Mapping[str, Mapping[str, Sequence[Rate]]]) -> None:
    """Prints rates by kind (rows) and method (columns)."""
    print(f"\n{title:40}" + "".join(f"{name:>24}" for name in table))
    for kind in next(iter(table.values())):
        cells = [table[name][kind][0] for name in table]
        shown = [f"{c.value:6.1%} ({c.low:.0%}-{c.high:.0%})" for c in cells]
        print(f"{kind:40}" + "".join(f"{cell:>24}" for cell in shown) + f"  n {cells[0].n}")


def main() -> None:
    """Prints the table and writes figures and answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--model", type=Path, default=HERE / "counterfactual")
    parser.add_argument("--base", type=Path, default=HERE / "base")
    parser.add_argument("--part", choices=("fit", "dev"), default="dev")
    parser.add_argument("--count", type=int, default=300, help="probes of a kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE.parent / "evaluation/out/paths")
    options = parser.parse_args()
    probes = form_probes(options.data, options.part, options.count)
    probes += book_probes(options.data, options.part, 2 * options.count)
    if options.part == "dev":
        probes = data_set_probes(options.data, options.count) + probes
    small = TransformersEngine.load(str(options.model), threads=options.threads)
    frozen = TransformersEngine.load(str(options.base))
    methods: dict[str, tuple[EngineContract, AnswerPath]] = {
        "counterfactual": (small, CounterfactualPath(small)),
        AS_ASKED: (small, CounterfactualPath(small).as_asked()),
        "in_context": (frozen, InContextPath(frozen)),
    }
    given = {name: answers(*parts, probes) for name, parts in methods.items()}
    given[AUTO] = [given[chosen(probe)][place] for place, probe in enumerate(probes)]
    given[VERBATIM] = [probe.edit.target for probe in probes]
    for engine in (small, frozen):
        engine.close()
    table = {name: rates(name, probes, answered) for name, answered in given.items()}
    show("percent right (95% interval)", table)
    for title, new in (("form as read", False), ("wordings never read", True)):
        formed = {
            place: by_form(probe)
            for place, probe in enumerate(probes)
            if (probe.kind in NEW) == new and probe.kind != "unknown"
        }
        places = sorted(formed, key=lambda place: formed[place].kind)
        listed = [formed[place] for place in places]
        show(title, {n: rates(n, listed, [g[p] for p in places]) for n, g in given.items()})
    options.out.mkdir(parents=True, exist_ok=True)
    figures = {k: {n: asdict(table[n][k][0]) for n in table} for k in table[VERBATIM]}
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    with (options.out / "answers.jsonl").open("w", encoding="utf-8") as file:
        for place, probe in enumerate(probes):
            said = {name: answered[place] for name, answered in given.items()}
            line = {"kind": probe.kind, "edit": probe.edit.statement, "answer": probe.answer}
            asked = probe.asked.prompt or probe.asked.messages[-1][1]
            file.write(json.dumps({**line, "asked": asked, **said}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
