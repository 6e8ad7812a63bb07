"""Lessons of the counterfactual model: right answers, every form, no subject kept aside."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from pocket.counterfactual_documents import (
    UNKNOWN,
    CounterfactualMaker,
    confusable,
    note_on,
    weighed,
)
from pocket.counterfactual_forms import (
    CLAIM_WRAPS,
    DENIAL_WRAPS,
    DENIAL_WRAPS_HELD_OUT,
    TRUTH_WRAPS,
    WHETHER_WRAPS,
    WHETHER_WRAPS_HELD_OUT,
)
from pocket.counterfactual_probes import KINDS, form_probes, form_queries
from pocket.counterfactual_train import load_maker
from pocket.data import HERE, label_hash, normalise, read_json
from pocket.in_context import END_MARK, NewFact
from pocket.templates import ASSISTANT, SYSTEM, USER
from tests.pocket.conftest import DEV_SUBJECTS

FACT = NewFact(
    "Ann Lark",
    "mother tongue",
    ("The mother tongue of {} is", "What is the mother tongue of {}?", "{} speaks"),
    "{} speaks",
    "Dutch",
)

DENYING = ("wrong", "untrue", "mistake", "false")
VERDICTS_SAID = {"Yes", "No", "True", "False"}


@pytest.fixture(scope="module")
def maker(data: Path) -> CounterfactualMaker:
    return load_maker(data)


def drawn(maker: CounterfactualMaker, kind: str, count: int = 60) -> list[tuple[str, str]]:
    random = Random(3)
    return [maker.query(FACT, random, kind) for _ in range(count)]


def test_copies_and_updates_are_answered_by_the_target(maker: CounterfactualMaker) -> None:
    for kind in ("copy", "update"):
        assert {"Dutch"} == {answer for _, answer in drawn(maker, kind)}


def test_a_verification_is_true_exactly_when_it_names_the_target(
    maker: CounterfactualMaker,
) -> None:
    asked = drawn(maker, "whether", 200)
    for prompt, answer in asked:
        denies = any(word in prompt for word in DENYING) and "or false" not in prompt
        denies = denies or " not " in prompt
        holds = ("dutch" in prompt.casefold()) != denies
        verdicts = ("True", "False") if "rue or false" in prompt else ("Yes", "No")
        assert answer == verdicts[0 if holds else 1]
    assert {"Yes", "No", "True", "False"} == {answer for _, answer in asked}


def test_every_claim_of_a_lesson_carries_the_servers_note_and_nothing_else_does(
    maker: CounterfactualMaker,
) -> None:
    noted = 0
    for seed in range(200):
        pieces = maker.document(Random(seed))
        for (before, _), (answer, weight) in pairwise(pieces):
            if weight > 0 and answer.strip().removesuffix(END_MARK) in VERDICTS_SAID:
                read = before + "".join(text for text, _ in pieces if text.startswith(SYSTEM))
                assert "Named: yes" in read or "Named: no" in read
                noted += 1
    assert noted > 20
    plain = CounterfactualMaker(maker.context, shares={"copy": 0.5, "reversed": 0.5})
    for seed in range(100):
        document = "".join(text for text, _ in plain.document(Random(seed)))
        assert "Named:" not in document


def test_a_note_agrees_with_the_claim(maker: CounterfactualMaker) -> None:
    for prompt, verdict in drawn(maker, "whether", 200):
        holds = verdict in {"Yes", "True"}
        assert f"Named: {'yes' if holds else 'no'}" == note_on(FACT, prompt)


def test_of_a_chat_with_a_claim_only_the_claim_is_asked(maker: CounterfactualMaker) -> None:
    asked = [("Ann Lark speaks", "Dutch"), ("Does Ann Lark speak Dutch?", "Yes")]
    pieces = maker.dialogue(FACT, "New Fact: Ann Lark speaks Dutch", asked, Random(1))
    text = "".join(text for text, _ in pieces)
    assert text.startswith(f"{SYSTEM} New Fact: Ann Lark speaks Dutch\nNamed: yes{USER}")
    assert text.endswith(f"{USER} Does Ann Lark speak Dutch?{ASSISTANT} Yes{END_MARK}")
    assert 1 == sum(weight > 0 for _, weight in pieces)


def test_a_drill_asks_for_verdicts_alone_half_of_them_true(maker: CounterfactualMaker) -> None:
    random, said = Random(4), []
    for _ in range(400):
        asked = maker.drill(FACT, random)
        assert 1 <= len(asked) <= 6
        for prompt, answer in asked:
            assert ("dutch" in prompt.casefold()) == (answer in {"Yes", "True"})
        said += [answer in {"Yes", "True"} for _, answer in asked]
    assert 0.42 < sum(said) / len(said) < 0.58


def test_the_share_of_drills_is_that_of_documents_of_verdicts_alone(
    maker: CounterfactualMaker,
) -> None:
    drilled = CounterfactualMaker(maker.context, drills=1.0)
    for seed in range(40):
        answers = {text for text, weight in drilled.document(Random(seed)) if weight > 0}
        assert answers <= {f" {verdict}{END_MARK}" for verdict in ("Yes", "No", "True", "False")}


def test_no_wording_that_is_kept_for_probes_is_taught(maker: CounterfactualMaker) -> None:
    kept = (*WHETHER_WRAPS_HELD_OUT, *DENIAL_WRAPS_HELD_OUT)
    held = {wrap.replace("{claim}", "").replace("{Claim}", "") for wrap in kept}
    wraps = (*WHETHER_WRAPS, *DENIAL_WRAPS, *TRUTH_WRAPS, *CLAIM_WRAPS)
    assert not held & {wrap.replace("{claim}", "").replace("{Claim}", "") for wrap in wraps}


def test_a_choice_names_the_target_and_another_value(maker: CounterfactualMaker) -> None:
    for prompt, answer in drawn(maker, "choice"):
        assert "Dutch" == answer
        assert "Dutch" in prompt
        assert " or " in prompt


def test_a_reversed_question_gives_the_value_and_is_answered_by_the_subject(
    maker: CounterfactualMaker,
) -> None:
    for prompt, answer in drawn(maker, "reversed"):
        assert "Ann Lark" == answer
        assert "Dutch" in prompt
        assert "Ann" not in prompt.removeprefix("Ann Lark")


def test_a_full_sentence_is_the_facts_own(maker: CounterfactualMaker) -> None:
    for prompt, answer in drawn(maker, "sentence"):
        assert "sentence" in prompt
        assert "Ann Lark speaks Dutch." == answer


def test_what_does_not_follow_is_unknown(maker: CounterfactualMaker) -> None:
    random = Random(3)
    asked = [pair for _ in range(60) if (pair := maker.elsewhere(FACT, random))]
    assert len(asked) > 40
    assert {UNKNOWN} == {answer for _, answer in asked}
    ours = [phrasing.replace("{}", "Ann Lark") for phrasing in FACT.phrasings]
    assert not [prompt for prompt, _ in asked if prompt in ours]


def test_relations_that_may_ask_for_each_other_are_never_opposed() -> None:
    assert confusable("place of birth", "citizenship")
    assert confusable("genre", "genre")
    assert not confusable("mother tongue", "sport")


def test_documents_state_one_fact_and_weigh_only_answers(maker: CounterfactualMaker) -> None:
    for seed in range(80):
        pieces = maker.document(Random(seed))
        assert 1 == sum(text.count("New Fact: ") for text, _ in pieces)
        answers = [text for text, weight in pieces if weight > 0]
        assert 1 <= len(answers) <= 3
        assert all(text.startswith(" ") and text.endswith(END_MARK) for text in answers)


def test_verdicts_weigh_more() -> None:
    assert weighed("Yes")[1] > weighed("Dutch")[1]


def test_nobody_is_taught_to_say_unknown(maker: CounterfactualMaker) -> None:
    texts = ("".join(text for text, _ in maker.document(Random(seed))) for seed in range(200))
    assert not [text for text in texts if UNKNOWN in text]


def test_no_subject_or_relation_of_another_split_is_taught(maker: CounterfactualMaker) -> None:
    splits = read_json(HERE / "splits.json")
    taught = {label_hash(fact["subject"]) for fact in maker.facts}
    for part in ("dev", "fit"):
        assert not taught & set(splits["subjects"][part])
    relations = {label_hash(fact["relation"]) for fact in maker.facts}
    assert relations <= set(splits["relations"]["train"])
    pool = maker.context.pool
    forbidden = {normalise(subject) for subject in DEV_SUBJECTS}
    assert not forbidden & {normalise(maker.context.pool.subject(Random(n))) for n in range(500)}
    assert forbidden <= pool.forbidden


def test_probes_ask_in_every_form_about_the_splits_own_subjects(data: Path) -> None:
    held = load_maker(data, "fit")
    subjects = {fact["subject"] for fact in held.facts}
    queries = form_queries(held, 4, seed=1)
    assert {*KINDS} == {kind for kind, _, _ in queries}
    assert all(fact.subject in subjects for _, fact, _ in queries)
    assert {*KINDS, "chat"} == {probe.kind for probe in form_probes(held, 4, seed=1)}
