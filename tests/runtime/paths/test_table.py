"""The table of paths: names, engines and editions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memory.errors import InvalidInput
from memory.record import (
    Candidate,
    Edit,
    EditId,
    EditsPolicy,
    EditState,
    Namespace,
    RejectReason,
    Route,
    ScopeDecision,
)
from runtime.paths.contract import BASE_MODEL, COUNTERFACTUAL_MODEL, Path, PathInput
from runtime.paths.counterfactual import CounterfactualPath
from runtime.paths.in_context import InContextPath
from runtime.paths.table import PathTable
from runtime.router import choose_route
from tests.fakes import FakeEngine

BASE, OTHER = FakeEngine(), FakeEngine()


def table(default: str = "in_context", *, on_base: bool = False) -> PathTable:
    path = CounterfactualPath(BASE, model=BASE_MODEL) if on_base else CounterfactualPath(OTHER)
    models = {BASE_MODEL: BASE} if on_base else {BASE_MODEL: BASE, COUNTERFACTUAL_MODEL: OTHER}
    paths: dict[str, Path] = {"in_context": InContextPath(BASE), "counterfactual": path}
    return PathTable(paths, models, default=default)


def test_auto_is_known_where_there_is_something_to_choose_from() -> None:
    assert ["auto", "counterfactual", "in_context"] == table().names
    alone = PathTable({"in_context": InContextPath(BASE)}, {BASE_MODEL: BASE}, default="in_context")
    assert ["in_context"] == alone.names
    with pytest.raises(InvalidInput, match=r"known paths are in_context\. Start .*--path auto"):
        alone.path("auto")
    with pytest.raises(InvalidInput, match=r"known paths are in_context\.$"):
        alone.path("by_magic")
    with pytest.raises(InvalidInput, match="default path is 'auto'"):
        PathTable({"in_context": InContextPath(BASE)}, {BASE_MODEL: BASE}, default="auto")


def test_an_unset_path_is_the_default() -> None:
    assert "counterfactual" == table("counterfactual").path("").name
    assert "in_context" == table("counterfactual").path("in_context").name
    assert table("auto").is_auto("")
    assert not table("auto").is_auto("in_context")


def test_each_path_decodes_on_its_own_engine_and_base_on_the_frozen_one() -> None:
    paths = table()
    assert OTHER is paths.engine_of("counterfactual")
    assert BASE is paths.engine_of("in_context")
    assert BASE is paths.engine_of("base")
    assert (BASE, OTHER) == paths.engines


def test_only_the_frozen_model_has_editions() -> None:
    assert (0, 3, 3) == tuple(
        table().edition_of(path, 3) for path in ("counterfactual", "in_context", "base")
    )
    assert 3 == table(on_base=True).edition_of("counterfactual", 3)


def test_the_frozen_model_as_counterfactual_is_one_engine() -> None:
    paths = table(on_base=True)
    assert (BASE,) == paths.engines
    assert BASE is paths.engine_of("counterfactual")


CLOZE = PathInput(prompt="The mother tongue of Ann Lark is")


def route_of(*states: EditState) -> Route:
    """A route whose hits, the best first, are in these states; edition 2 answers."""
    edits = [
        Edit(
            id=EditId(f"ann-{number}"),
            namespace=Namespace("default"),
            subject="Ann Lark",
            prompt="The mother tongue of Ann Lark is",
            target="Dutch",
            state=state,
            edition=2 if state is EditState.CONSOLIDATED else 0,
        )
        for number, state in enumerate(states)
    ]
    hits = [
        ScopeDecision(
            candidate=Candidate(edit=edit, cosine=0.9, rank=n, by_vector=True, by_subject=False),
            score=0.9 - 0.1 * n,
            threshold=0.5,
        )
        for n, edit in enumerate(edits)
    ]
    return choose_route(hits, policy=EditsPolicy.AUTO, path="in_context", edits_max=4, edition=2)


def test_auto_answers_one_question_by_the_best_edit_alone() -> None:
    alone = table("auto").by_form(route_of(EditState.ACTIVE), CLOZE)
    assert ("counterfactual", 1) == (alone.path, len(alone.hits))
    both = table("auto").by_form(route_of(EditState.ACTIVE, EditState.ACTIVE), CLOZE)
    assert ("counterfactual", ["ann-0"]) == (both.path, [d.candidate.edit.id for d in both.hits])
    assert [("ann-1", RejectReason.OUTRANKED)] == [
        (r.decision.candidate.edit.id, r.reason) for r in both.rejections
    ]
    assert "the best of 2 edits in scope" in both.reason


def test_the_edit_that_a_query_names_comes_first_and_the_others_come_back_in_context() -> None:
    route = route_of(EditState.ACTIVE, EditState.ACTIVE, EditState.ACTIVE)
    danish = route.hits[1].candidate
    named = replace(danish, edit=replace(danish.edit, target="Danish"))
    hits = (route.hits[0], replace(route.hits[1], candidate=named), route.hits[2])
    asked = PathInput(prompt="Does Ann Lark speak Danish?")
    chosen = table("auto").by_form(replace(route, hits=hits), asked)
    assert ["ann-1"] == [d.candidate.edit.id for d in chosen.hits]
    assert "the one named of 3 edits" in chosen.reason
    roomier = table("auto").roomier(chosen, "")
    assert roomier is not None
    assert ["ann-1", "ann-0", "ann-2"] == [d.candidate.edit.id for d in roomier.hits]
    assert () == roomier.rejections


def test_auto_keeps_a_query_in_context_that_the_weights_answer_in_part() -> None:
    """The other model has no editions: what they hold of a query's edits it could not know."""
    asked = PathInput(prompt="Ann Lark speaks and reads")
    both = table("auto").by_form(route_of(EditState.ACTIVE, EditState.CONSOLIDATED), asked)
    assert ("in_context", 1) == (both.path, len(both.hits))
    assert "2 edits are in scope" in both.reason
    held = route_of(EditState.CONSOLIDATED, EditState.ACTIVE)
    assert "base" == held.path
    assert held == table("auto").by_form(held, CLOZE)


def test_only_what_auto_chose_falls_back_to_the_longer_context() -> None:
    chosen = table("auto").by_form(route_of(EditState.ACTIVE), CLOZE)
    roomier = table("auto").roomier(chosen, "")
    assert roomier is not None
    assert "in_context" == roomier.path
    assert "too short" in roomier.reason
    assert None is table("auto").roomier(chosen, "counterfactual")
    assert None is table("auto").roomier(roomier, "")
