"""Makes edits that only fill a memory, from subjects that no trainer may see.

    python -m evaluation.make_fillers --out fillers.jsonl --apart-from counterfact val.json
        --edits zsre dev.json --edits mquake dev.json --triples lama/P*.jsonl

First the edits of data files that are for evaluation only; then facts about those files' subjects
(LAMA's triples, their sentences unread), said in the project's own phrasings and given the answer
of another subject; then people who do not exist. Subjects of `--apart-from` are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from evaluation.probes import edit_key
from evaluation.readers.read import read_dataset
from memory.conflicts import normalise
from memory.errors import InvalidInput
from memory.record import EditDraft
from memory.transfer import draft_to_record

PHRASINGS = Path(__file__).resolve().parent.parent / "pocket" / "relations.json"
SYLLABLES = ("ba", "del", "fi", "gor", "hu", "kal", "li", "mon", "na", "or", "pel", "ri", "sun")
MADE_UP_RELATIONS = ("P103", "P19", "P27", "P106")  # Tongue, birthplace, citizenship, occupation.


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """How a relation is said: templates with {} for the subject."""

    templates: tuple[str, ...]


def relations(path: Path = PHRASINGS) -> dict[str, Relation]:
    """Returns the project's phrasings by Wikidata property."""
    held = json.loads(path.read_text(encoding="utf-8"))
    return {
        row["wikidata"]: Relation(templates=(*row["cloze"], *row["question"]))
        for row in held.values()
    }


def read_triples(paths: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Yields (property, subject, object) of LAMA files. Raises InvalidInput."""
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield row["predicate_id"], row["sub_label"].strip(), row["obj_label"].strip()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InvalidInput(
                    f"{path}, line {number}: expected LAMA's predicate_id, sub_label and obj_label "
                    f"({error!r})",
                    field="triples",
                ) from error


def from_triples(
    triples: Sequence[tuple[str, str, str]],
    subjects: set[str],
    said: dict[str, Relation],
    random: Random,
) -> Iterator[EditDraft]:
    """Yields edits about `subjects` (normalised): a fact's relation with another fact's object."""
    objects: dict[str, list[str]] = {}
    for name, _, is_ in triples:
        objects.setdefault(name, []).append(is_)
    for name, subject, is_ in triples:
        others = sorted(set(objects[name]) - {is_})
        if normalise(subject) in subjects and name in said and others:
            prompt = random.choice(said[name].templates).format(subject)
            yield EditDraft(
                subject=subject, prompt=prompt, target=random.choice(others), former=is_
            )


def made_up(
    objects: dict[str, list[str]], said: dict[str, Relation], random: Random
) -> Iterator[EditDraft]:
    """Yields edits about people who do not exist, without end."""
    usable = [name for name in MADE_UP_RELATIONS if name in said and objects.get(name)]
    while usable:
        name = random.choice(usable)
        first, last = ("".join(random.choices(SYLLABLES, k=3)).capitalize() for _ in range(2))
        subject = f"{first} {last}"
        prompt = random.choice(said[name].templates).format(subject)
        yield EditDraft(subject=subject, prompt=prompt, target=random.choice(objects[name]))


def make_fillers(
    given: Iterable[EditDraft],
    triples: Sequence[tuple[str, str, str]],
    *,
    apart_from: Iterable[EditDraft],
    count: int,
    seed: int = 0,
) -> list[EditDraft]:
    """Returns `count` edits (fewer when nothing more can be made), each fact once."""
    random = Random(seed)
    said = relations()
    listed = list(given)
    left_out = {normalise(edit.subject) for edit in apart_from}
    subjects = {normalise(edit.subject) for edit in listed} - left_out
    objects: dict[str, list[str]] = {}
    for name, _, is_ in triples:
        objects.setdefault(name, []).append(is_)
    found: dict[tuple[str, str], EditDraft] = {}
    for source in (
        listed,
        from_triples(triples, subjects, said, random),
        made_up(objects, said, random),
    ):
        for edit in source:
            if len(found) >= count:
                return list(found.values())
            if normalise(edit.subject) not in left_out:
                found.setdefault(edit_key(edit), edit)
    return list(found.values())


def main() -> None:
    """Writes the fillers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--apart-from", nargs=2, action="append", default=[], metavar="X")
    parser.add_argument("--edits", nargs=2, action="append", default=[], metavar="X")
    parser.add_argument("--triples", type=Path, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fillers = make_fillers(
        _edits(options.edits),
        list(read_triples(options.triples)),
        apart_from=_edits(options.apart_from),
        count=options.count,
        seed=options.seed,
    )
    text = "".join(json.dumps(draft_to_record(edit), ensure_ascii=False) + "\n" for edit in fillers)
    options.out.write_text(text, encoding="utf-8")
    print(f"{len(fillers)} edits written to {options.out}")


def _edits(named: Iterable[Sequence[str]]) -> list[EditDraft]:
    return [
        edit
        for name, path in named
        for record in read_dataset(name, Path(path)).records
        for edit in record.edits
    ]


if __name__ == "__main__":
    main()
