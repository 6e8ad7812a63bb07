"""Metrics from outcomes, by hand-counted cases and at the borders where definitions differ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evaluation.glossary import METRICS, is_defined
from evaluation.method import Said, Scored
from evaluation.outcome import Outcome
from evaluation.probes import Scope
from evaluation.summary import summarise
from tests.evaluation_kit import outcome

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "evaluation.md"


def values(outcomes: list[Outcome], frozen: dict[str, Said] | None = None) -> dict[str, float]:
    return {rate.metric: rate.value for rate, _ in summarise(outcomes, frozen or {})}


def scored(target: float, former: float | None, share: float = 1.0) -> Scored:
    return Scored(target_nll=target, target_share=share, former_nll=former)


def test_reliability_is_over_all_edits_and_the_path_s_over_those_routed() -> None:
    found = values(
        [
            outcome(text=" French.", edited=True, right=True),
            outcome(text="French, and more", edited=True, right=True),
            outcome(text="French"),
            outcome(text="Dutch"),
        ]
    )
    assert 0.5 == found["reliability_exact"]
    assert 0.5 == found["router_recall"]
    assert 0.5 == found["path_exact"]


def test_a_route_to_another_edit_is_wrong_but_to_a_filler_is_a_filler_s() -> None:
    found = values(
        [
            outcome(edited=True, right=True),
            outcome(edited=True, right=False),
            outcome("rephrase", edited=True, right=False, filler=True),
            outcome("rephrase"),
        ]
    )
    assert (0.25, 0.25) == (found["wrong_edit"], found["filler_route"])


def test_cleaned_paraphrases_count_no_second_time_among_wrong_edits() -> None:
    found = values([outcome(), outcome("rephrase_cleaned", edited=True)])
    assert 0.0 == found["wrong_edit"]


def test_false_routes_leave_out_probes_that_another_edit_is_about() -> None:
    outside: dict[str, Any] = {"scope": Scope.OUTSIDE, "kind": "neighbour"}
    found = values(
        [
            outcome(**outside, edited=True),
            outcome(**outside),
            outcome(**outside, edited=True, covered=True),
            outcome(**outside, edited=True, filler=True),
        ]
    )
    assert pytest.approx(1 / 3) == found["false_route_neighbour"]


def test_a_route_to_an_edit_of_the_very_fact_is_told_from_one_of_another() -> None:
    outside: dict[str, Any] = {"scope": Scope.OUTSIDE, "edited": True}
    for kind in ("neighbour", "distracting"):
        found = values(
            [outcome(kind, **outside, same_fact=True), outcome(kind, **outside, same_fact=False)]
        )
        assert 1.0 == found[f"false_route_{kind}"]
        assert 0.5 == found[f"false_route_{kind}_other_fact"]


def test_labelled_paraphrases_have_metrics_of_their_own() -> None:
    found = values(
        [
            outcome("rephrase", text="French", edited=True, right=True, follows=True),
            outcome("rephrase", text="Dutch", follows=False),
            outcome("rephrase", text="Dutch"),
        ]
    )
    assert (1.0, 1.0) == (
        found["generalization_follows_exact"],
        found["router_recall_paraphrase_follows"],
    )
    assert pytest.approx(1 / 3) == found["generalization_exact"]


def test_scores_compare_probabilities_and_s_is_their_harmonic_mean() -> None:
    found = values(
        [
            outcome(scored=scored(1.0, 2.0)),
            outcome(scored=scored(2.0, 2.0)),  # A tie is no success.
            outcome("rephrase", scored=scored(1.0, 2.0)),
            outcome("neighbour", scope=Scope.OUTSIDE, scored=scored(3.0, 1.0)),
            outcome("neighbour", scope=Scope.OUTSIDE, scored=scored(1.0, 3.0)),
        ]
    )
    assert (0.5, 1.0, 0.5) == (found["es"], found["ps"], found["ns"])
    assert pytest.approx(3 / (2 + 1 + 2)) == found["score_s"]
    assert pytest.approx((math.exp(-1) - math.exp(-2)) / 2) == found["es_magnitude"]
    assert 0.0 == pytest.approx(found["ns_magnitude"])


def test_without_a_former_answer_there_is_no_efficacy_score() -> None:
    found = values([outcome(scored=scored(1.0, None, share=0.5))])
    assert "es" not in found
    assert 0.5 == found["reliability_token"]


def test_locality_is_identity_with_the_frozen_answer_and_drawdown_what_is_lost() -> None:
    same = outcome("neighbour", scope=Scope.OUTSIDE, text="abcd")
    half = outcome("neighbour", scope=Scope.OUTSIDE, text="abXX", prompt="other")
    frozen = {
        o.probe.key: Said(text="abcd", token_ids=tuple(b"abcd"), finish="eos") for o in (same, half)
    }
    found = values([same, half], frozen)
    assert (0.5, 0.25) == (found["locality_identical"], found["drawdown"])
    assert "locality_identical" not in values([same, half])


def test_any_wording_of_a_multi_hop_question_counts_within_its_record() -> None:
    def hop(text: str, case: str) -> Outcome:
        return outcome(
            "portability_2_hop", scope=Scope.OPEN, text=text, case=case, group="multi-hop"
        )

    found = values([hop("French", "1"), hop("Dutch", "1"), hop("Dutch", "2")])
    assert 0.5 == found["portability_2_hop"]


def test_a_denied_edit_still_answered_with_its_target_is_counted() -> None:
    found = values(
        [
            outcome("negation", scope=Scope.OPEN, text="it is french indeed", edited=True),
            outcome("negation", scope=Scope.OPEN, text="Dutch"),
        ]
    )
    assert (0.5, 0.5) == (found["negation_target"], found["routed_negation"])


def test_nothing_asked_gives_no_rows() -> None:
    assert [] == summarise([], {})


def test_seconds_add_up_over_the_answers_behind_a_figure() -> None:
    rows = summarise([outcome(text="French"), outcome(text="French"), outcome("rephrase")], {})
    assert 1.0 == next(s for rate, s in rows if rate.metric == "reliability_exact")


def test_the_docs_hold_exactly_the_table_of_the_code() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    told = dict(
        line.removeprefix("| `").removesuffix(" |").split("` | ", 1)
        for line in lines[lines.index("| metric | definition |") + 2 :]
        if line.startswith("| `")
    )
    assert {name.replace("{kind}", "<kind>"): text for name, text in METRICS.items()} == told


def test_no_metric_is_called_accuracy() -> None:
    assert not any("accuracy" in name for name in METRICS)
    assert not is_defined("accuracy")
    assert is_defined("portability_reasoning")
    assert not is_defined("portability_")
