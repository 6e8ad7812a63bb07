"""Editors write what they say, from a seed, and leave the live model bitwise as it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.edited_model import EditedModel
from memory.errors import ConsolidationFailed
from runtime.consolidation import solve
from runtime.consolidation.editors import EDITORS
from runtime.consolidation.hyperparameters import Columns
from runtime.consolidation.operations import Stage
from runtime.consolidation.solve import Factors
from runtime.consolidation.targets import Targets
from runtime.consolidation.tokens import FactToken
from runtime.consolidation.trace import at_last_token
from runtime.sites import FAMILIES, sites_of
from tests.editor_kit import FACTS, SETTINGS, bench_of, hook_count, nothing, state
from tests.tiny_models import Tiny


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", ["memit", "rome"])
def test_editors_run_on_every_family_and_leave_the_model_alone(
    deep: Tiny, corpus_file: Path, family: str, name: str
) -> None:
    loaded = deep(family)
    before = state(loaded.model)
    delta = EDITORS[name](bench_of(loaded, corpus_file)).compute(FACTS, nothing)
    after = loaded.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert 0 == hook_count(loaded.model)
    assert [fact.edit_id for fact in FACTS] == [report.edit_id for report in delta.reports]
    assert name == delta.settings["editor"]
    for matrix in delta.matrices:
        forms = [matrix.full, matrix.left]
        assert 1 == sum(form is not None for form in forms)
        if matrix.left is not None and matrix.right is not None:
            change = matrix.left @ matrix.right
        else:
            assert matrix.full is not None
            change = matrix.full
        weight = loaded.model.get_submodule(matrix.module).weight
        shape = weight.T.shape if sites_of(loaded.model).family.transposed else weight.shape
        assert shape == change.shape
        assert float(change.abs().max()) > 0


@pytest.mark.parametrize("name", sorted(EDITORS))
@pytest.mark.parametrize("token", list(FactToken))
def test_an_edited_model_has_the_state_that_was_sought(
    deep: Tiny,
    corpus_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    token: FactToken,
) -> None:
    """With next to no old associations, the facts' tokens stand where their targets lie."""
    loaded = deep("llama")
    changes = {"fact_token": token, "columns": Columns.EACH, "prefixes": 0}
    bench = bench_of(loaded, corpus_file, **changes, covariance_weight=1e-6)
    sought: list[Targets] = []
    real = bench.targets

    def noted(*arguments: Any, **named: Any) -> Targets:
        sought.append(real(*arguments, **named))
        return sought[-1]

    monkeypatch.setattr(bench, "targets", noted)
    delta = EDITORS[name](bench).compute(FACTS, nothing)
    edited = EditedModel(loaded.model, loaded.tokenizer)
    edited.wear(delta)
    # PMET also seeks a change of attention's output, and writes the MLP's alone.
    site = bench.sites.mlp_out(2) if name == "pmet" else bench.sites.block(2)
    rows = [one[0].to_site for one in bench.rows(FACTS).lessons]
    before = at_last_token(loaded.model, rows, outputs=[site]).outputs[site]
    after = at_last_token(edited.model, rows, outputs=[site]).outputs[site]
    wanted = sought[0].delta[:, -1].to(before.dtype)
    assert float(wanted.norm()) > 1
    assert float((after - before - wanted).norm()) < 0.3 * float(wanted.norm())
    edited.wear(None)
    worn_off = edited.model.state_dict()
    assert all(torch.equal(worn_off[k], v) for k, v in loaded.model.state_dict().items())


@pytest.mark.parametrize("name", sorted(EDITORS))
def test_the_same_seed_gives_the_same_change_bit_for_bit(
    deep: Tiny, corpus_file: Path, name: str
) -> None:
    loaded = deep("gpt2")
    torch.manual_seed(1)
    first = EDITORS[name](bench_of(loaded, corpus_file)).compute(FACTS, nothing)
    torch.manual_seed(2)
    torch.randn(7)
    second = EDITORS[name](bench_of(loaded, corpus_file)).compute(FACTS, nothing)
    assert first.settings == second.settings
    assert first.reports == second.reports
    for one, two in zip(first.matrices, second.matrices, strict=True):
        for form in ("left", "right", "full"):
            a, b = getattr(one, form), getattr(two, form)
            assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("stage", ["covariance", "targets", "solving"])
def test_an_editor_that_is_stopped_leaves_no_trace(
    deep: Tiny, corpus_file: Path, stage: str
) -> None:
    class Cancelled(Exception):
        pass

    def stop(at: str, _done: int, _total: int) -> None:
        if at == stage:
            raise Cancelled

    loaded = deep("llama")
    before = state(loaded.model)
    with pytest.raises(Cancelled):
        EDITORS["memit"](bench_of(loaded, corpus_file)).compute(FACTS, stop)
    assert all(torch.equal(before[k], v) for k, v in loaded.model.state_dict().items())
    assert 0 == hook_count(loaded.model)


@pytest.mark.parametrize("name", sorted(EDITORS))
def test_progress_never_goes_back(
    deep: Tiny, corpus_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was found in one step takes nowhere, so that what can be refined is."""
    monkeypatch.setattr("runtime.consolidation.refine.STEPS_MIN", 3)
    order = [stage.value for stage in Stage]
    seen: list[tuple[int, int]] = []

    def note(stage: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        seen.append((order.index(stage), done))

    objective = dataclasses.replace(SETTINGS.objective, steps=1)
    settings = {"objective": objective, "refine_passes": 1, "refine_rate": 1e-6}
    EDITORS[name](bench_of(deep("llama"), corpus_file, **settings)).compute(FACTS, note)
    assert seen == sorted(seen)
    refining = [done for stage, done in seen if order[stage] == "refining"]
    assert (refining[-1:] == [3]) == (name in {"memit", "pmet"})


@pytest.mark.parametrize("failing", [0, 1])
def test_a_solve_that_fails_names_its_layer_and_changes_nothing(
    deep: Tiny, corpus_file: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls: list[int] = []

    def broken(keys: Tensor, residuals: Tensor, moment: Tensor, weight: float) -> Factors:
        calls.append(1)
        if len(calls) == failing + 1:
            keys = keys * float("nan")
        return solve.memit(keys, residuals, moment, weight)

    monkeypatch.setattr("runtime.consolidation.memit.memit", broken)
    loaded = deep("llama")
    before = state(loaded.model)
    with pytest.raises(ConsolidationFailed, match=f"layer {failing + 1}: the keys"):
        EDITORS["memit"](bench_of(loaded, corpus_file)).compute(FACTS, nothing)
    assert all(torch.equal(before[k], v) for k, v in loaded.model.state_dict().items())
    assert 0 == hook_count(loaded.model)


def test_no_facts_and_a_fact_without_its_subject_fail_clearly(
    deep: Tiny, corpus_file: Path
) -> None:
    editor = EDITORS["memit"](bench_of(deep("llama"), corpus_file))
    with pytest.raises(ConsolidationFailed, match="no facts"):
        editor.compute((), nothing)
    wrong = dataclasses.replace(FACTS[0], subject="Nobody")
    with pytest.raises(ConsolidationFailed, match=r"e0: the subject 'Nobody' is not in the prompt"):
        editor.compute((wrong,), nothing)


def test_rows_to_keep_keep_their_state_better(deep: Tiny, corpus_file: Path) -> None:
    """The edit's sentence about other subjects moves less when it is among the rows to keep."""
    loaded = deep("llama")
    moved = []
    for count in (0, 8):
        bench = bench_of(
            loaded,
            corpus_file,
            fact_token=FactToken.PROMPT_LAST,
            contrast_subjects=count,
            contrast_weight=100.0,
            layers=(1,),
        )
        delta = EDITORS["memit"](bench).compute(FACTS[:1], nothing)
        edited = EditedModel(loaded.model, loaded.tokenizer)
        edited.wear(delta)
        other = bench_of(loaded, corpus_file, fact_token=FactToken.PROMPT_LAST, contrast_subjects=8)
        rows = [one.prompt for one in other.rows(FACTS[:1]).kept]
        block = sites_of(loaded.model).block(1)
        clean = at_last_token(loaded.model, rows, outputs=[block]).outputs[block]
        now = at_last_token(edited.model, rows, outputs=[block]).outputs[block]
        moved.append(float((now - clean).norm()))
    assert moved[1] < 0.5 * moved[0]


def test_mean_columns_are_memits_average_over_templates(deep: Tiny, corpus_file: Path) -> None:
    bench = bench_of(deep("llama"), corpus_file, prefixes=2)
    rows = bench.rows(FACTS)
    mixing = rows.columns(Columns.MEAN).to_dense()
    assert (3, 9) == mixing.shape
    assert [0.5, 0.25, 0.25] == mixing[0, :3].tolist()
    assert torch.allclose(torch.ones(3).double(), mixing.sum(1))
    assert [0, 3, 6] == rows.first
    each = rows.columns(Columns.EACH).to_dense()
    assert torch.allclose(each.square().sum(), torch.tensor(9.0).double())


def test_prefixes_come_from_the_seed_and_are_the_models_own(deep: Tiny, corpus_file: Path) -> None:
    loaded = deep("llama")
    one = bench_of(loaded, corpus_file, prefixes=5).prefixes
    assert one == bench_of(loaded, corpus_file, prefixes=5).prefixes
    assert one != bench_of(loaded, corpus_file, prefixes=5, seed=1).prefixes
    assert one != bench_of(deep("gpt2"), corpus_file, prefixes=5).prefixes
    assert 5 == len(one)
    assert all(text.endswith(". ") for text in one)
