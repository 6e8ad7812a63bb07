"""The table, the rule, and changes to them."""

from __future__ import annotations

import pytest

from memory.errors import InvalidInput
from runtime.consolidation.hyperparameters import (
    TABLE,
    Columns,
    checked,
    hyperparameters_for,
    rule,
    with_changes,
)
from runtime.consolidation.tokens import FactToken
from runtime.sites import FAMILIES, Sites


@pytest.mark.parametrize("key", sorted(TABLE))
def test_every_entry_fits_its_model_and_says_where_it_comes_from(key: tuple[str, int, int]) -> None:
    model_type, blocks, _ = key
    entry = TABLE[key]
    assert model_type in FAMILIES
    assert entry == checked(entry, blocks)
    assert entry.source


@pytest.mark.parametrize("blocks", range(2, 101))
def test_the_rule_gives_layers_within_any_depth(blocks: int) -> None:
    values = rule(blocks)
    assert values == checked(values, blocks)
    assert values.layers[-1] == values.rome_layer
    assert list(values.layers) == list(range(values.layers[0], values.layers[-1] + 1))


@pytest.mark.parametrize(("blocks", "layer"), [(24, 8), (36, 12), (48, 16)])
def test_the_rule_is_where_rome_measured_gpt2(blocks: int, layer: int) -> None:
    assert layer == rule(blocks).rome_layer


def test_a_model_that_is_not_in_the_table_gets_the_rule() -> None:
    sites = Sites(family=FAMILIES["llama"], model_type="llama", layers=32)
    assert TABLE["llama", 32, 4096] == hyperparameters_for(sites, 4096)
    assert rule(32) == hyperparameters_for(sites, 5120)


def test_every_value_can_be_set_also_as_plain_words() -> None:
    changes = {
        "layers": [1, 2],
        "fact_token": "prompt_last",
        "columns": "each",
        "learning_rate": 0.3,
        "seed": 9,
    }
    changed = with_changes(rule(12), changes)
    assert (1, 2) == changed.layers
    assert FactToken.PROMPT_LAST is changed.fact_token
    assert Columns.EACH is changed.columns
    assert 0.3 == changed.objective.learning_rate
    assert 9 == changed.seed
    settings = changed.as_settings()
    assert "prompt_last" == settings["fact_token"]
    assert [1, 2] == settings["layers"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("layer", [1], r"has layer; expected some of .*layers"),
        ("layers", [], "layers is .*ascending"),
        ("layers", [2, 1], "layers is .*ascending"),
        ("layers", [-1, 0], "layers is .*within 0 to"),
        ("fact_token", "first", "expected one of subject_last, prompt_last"),
        ("columns", "some", "expected one of mean, each"),
        ("steps", 0, "steps is 0; expected 1 to 1000"),
        ("learning_rate", 0, "learning_rate is 0; expected above 0"),
        ("covariance_weight", 0, "covariance_weight is 0"),
        ("clamp_factor", -1, "clamp_factor is -1"),
        ("prefixes", 101, "prefixes is 101"),
        ("layers", "[", r"layers is '\['; expected a list of whole numbers"),
        ("layers", 3, "layers is 3; expected a list of whole numbers"),
        ("layers", [3, "4"], "expected a list of whole numbers"),
        ("steps", "many", "steps is 'many'; expected a whole number"),
        ("steps", 2.5, "steps is 2.5; expected a whole number"),
        ("seed", True, "seed is True; expected a whole number"),
        ("learning_rate", None, "learning_rate is None; expected a finite number"),
        ("covariance_weight", float("inf"), "covariance_weight is inf; expected a finite number"),
        ("relative", 1, "relative is 1; expected true or false"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        with_changes(rule(12), {name: value})


def test_a_layer_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="within 0 to 10: below the last block"):
        checked(with_changes(rule(12), {"layers": [11]}), 12)


def test_old_associations_count_for_more_the_more_facts_a_change_holds() -> None:
    values = with_changes(rule(8), {"covariance_weight": 100.0, "covariance_weight_per_edit": 2.0})
    assert [100.0, 102.0, 298.0] == [values.old_weight(facts) for facts in (1, 2, 100)]
    assert 100.0 == with_changes(values, {"covariance_weight_per_edit": 0}).old_weight(1000)
    with pytest.raises(InvalidInput, match="covariance_weight_per_edit is -1; expected 0 or more"):
        with_changes(values, {"covariance_weight_per_edit": -1})


def test_other_sentences_are_kept_where_phrasings_tell_them_apart() -> None:
    base = rule(12)
    given = with_changes(base, {"contrast_sentences_given": 3})
    assert [given.sentences_kept(phrasings) for phrasings in (1, 2, 4)] == [0, 3, 3]
    both = with_changes(given, {"contrast_sentences": 5})
    assert [both.sentences_kept(phrasings) for phrasings in (1, 4)] == [5, 5]


def test_few_facts_given_in_more_phrasings_keep_more_of_what_is_near_them() -> None:
    base = with_changes(rule(12), {"contrast_subjects": 2, "contrast_weight": 1.0})
    few = with_changes(
        base, {"few_facts": 50, "contrast_subjects_few": 6, "contrast_weight_few": 4.0}
    )
    cases = [(4, 1), (4, 50), (4, 51), (4, 100), (4, 150), (1, 1)]  # Phrasings, facts.
    # More facts share the 50 * 6 that 50 keep, until each keeps what any fact does.
    assert [few.subjects_kept(*case) for case in cases] == [6, 6, 5, 3, 2, 2]
    assert [few.kept_weight(*case) for case in cases] == [1.0, 1.0, 1.0, 1.0, 0.25, 1.0]
    assert [base.subjects_kept(*case) for case in cases] == [2] * 6
    more = with_changes(few, {"contrast_subjects": 9, "contrast_weight": 8.0})
    assert (more.subjects_kept(4, 1), more.kept_weight(4, 1)) == (9, 2.0)
    with pytest.raises(InvalidInput, match="few_facts is -1"):
        with_changes(base, {"few_facts": -1})
