"""Round trips through the wire: domain to protobuf to domain, and to the client's own values."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata import convert
from errata.requests import json_line, new_edit
from errata.results import NewEdit
from memory.errors import InvalidInput
from memory.record import (
    BudgetSource,
    Candidate,
    Edit,
    EditDraft,
    EditId,
    EditState,
    ErrorBudget,
    Namespace,
    Provenance,
    Rejection,
    RejectReason,
    Route,
    RouteKind,
    ScopeDecision,
    StageTimings,
)
from memory.transfer import draft_of, json_to_draft
from memory.writes import EntryKind, WriteOutcome
from protos.errata.v1 import inference_pb2, memory_pb2, resources_pb2
from runtime.services.wire import (
    draft_from_pb,
    edit_to_pb,
    provenance_to_pb,
    state_from_pb,
    time_from_pb,
    time_to_pb,
)
from runtime.services.wire_inference import read_sampling
from runtime.services.wire_memory import (
    MASK_FIELDS,
    fields_under,
    outcome_to_pb,
    read_changes,
    read_filter,
)
from tests.strategies import free_drafts

times = st.integers(0, 253_402_300_799).map(float) | st.floats(1e9, 4e9)
few = settings(max_examples=30)
scores = st.floats(0, 1)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    draft = draw(free_drafts())
    return Edit(
        id=EditId(draw(st.sampled_from(("abcd", "e01a-2")))),
        namespace=Namespace(draw(st.sampled_from(("default", "team-a")))),
        subject=draft.subject,
        prompt=draft.prompt,
        target=draft.target,
        former=draft.former,
        aliases=draft.aliases,
        author=draft.author,
        source=draft.source,
        labels=tuple(sorted(draft.labels)),
        state=draw(st.sampled_from(EditState)),
        revision=draw(st.integers(1, 2**40)),
        sequence=draw(st.integers(0, 2**62)),
        created_at_s=draw(times),
        updated_at_s=draw(times),
        expires_at_s=draw(st.none() | times),
        supersedes=draw(st.none() | st.just(EditId("older"))),
        superseded_by=draw(st.none() | st.just(EditId("newer"))),
        edition=draw(st.none() | st.integers(0, 9)),
    )


@st.composite
def decisions(draw: st.DrawFn) -> ScopeDecision:
    candidate = Candidate(
        edit=Edit(
            id=EditId(draw(st.sampled_from(("abcd", "e01a-2")))),
            namespace=Namespace("team-a"),
            subject="X",
            prompt="X is",
            target=draw(st.sampled_from(("a", "b"))),
        ),
        cosine=draw(st.floats(-1, 1)),
        rank=draw(st.integers(0, 99)),
        by_vector=True,
        by_subject=True,
        mention=draw(st.text(max_size=5)),
    )
    return ScopeDecision(candidate=candidate, score=draw(scores), threshold=draw(scores))


@few
@given(edit=edits())
def test_a_draft_survives_the_wire(edit: Edit) -> None:
    message = resources_pb2.Edit.FromString(edit_to_pb(edit).SerializeToString())
    assert draft_from_pb(message, edit_id=edit.id) == draft_of(edit)


@few
@given(edit=edits())
def test_the_client_sees_the_edit_that_the_server_has(edit: Edit) -> None:
    seen = convert.edit(edit_to_pb(edit))
    assert seen.name == f"namespaces/{edit.namespace}/edits/{edit.id}"
    assert (seen.id, seen.namespace, seen.statement) == (edit.id, edit.namespace, edit.statement)
    for name in ("subject", "prompt", "target", "former", "aliases", "author", "source"):
        assert getattr(seen, name) == getattr(edit, name)
    for name in ("revision", "sequence", "etag", "edition"):
        assert getattr(seen, name) == getattr(edit, name)
    assert seen.state.value == edit.state.value
    assert dict(seen.labels) == dict(edit.labels)
    assert bool(seen.supersedes) == (edit.supersedes is not None)


@given(seconds=times)
def test_a_time_survives_the_wire_to_the_bit(seconds: float) -> None:
    assert time_from_pb(time_to_pb(seconds), field="t") == pytest.approx(seconds, abs=1e-9, rel=0)
    assert 0 <= time_to_pb(seconds).nanos < 1_000_000_000


def test_impossible_nanoseconds_are_refused() -> None:
    message = resources_pb2.Edit()
    message.expire_time.nanos = -5
    with pytest.raises(InvalidInput) as caught:
        draft_from_pb(message, field="edit.")
    assert caught.value.field == "edit.expire_time"


@few
@given(draft=free_drafts())
def test_what_the_client_sends_is_what_the_server_reads(draft: EditDraft) -> None:
    edit = NewEdit(
        subject=draft.subject,
        prompt=draft.prompt,
        target=draft.target,
        former=draft.former,
        aliases=draft.aliases,
        author=draft.author,
        source=draft.source,
        labels=dict(draft.labels),
    )
    expected = replace(draft, labels=tuple(sorted(draft.labels)))
    assert draft_from_pb(new_edit(edit)) == expected
    by_json = json_to_draft(json_line(edit))
    assert replace(by_json, labels=tuple(sorted(by_json.labels))) == replace(
        expected, former=expected.former or None
    )


@few
@given(
    hits=st.lists(decisions(), max_size=3),
    turned_down=st.lists(decisions(), max_size=18),
    timings=st.builds(StageTimings, total_ms=st.floats(0, 1e6), queue_ms=st.floats(0, 1e6)),
    read_as=st.none() | st.just("And where was Ann born?"),
    budget=st.none() | st.builds(ErrorBudget, share=st.none() | scores),
)
def test_provenance_reaches_the_client_whole(
    hits: list[ScopeDecision],
    turned_down: list[ScopeDecision],
    timings: StageTimings,
    read_as: str | None,
    budget: ErrorBudget | None,
) -> None:
    route = Route(
        kind=RouteKind.EDITED if hits else RouteKind.BASE,
        path="in_context" if hits else "base",
        hits=tuple(hits),
        rejections=tuple(
            Rejection(decision=d, reason=RejectReason.BELOW_THRESHOLD) for d in turned_down
        ),
        reason="why",
    )
    provenance = Provenance(
        request_id="r",
        namespace=Namespace("team-a"),
        route=route,
        sequence=7,
        edition=3,
        classifier="c",
        calibrated=True,
        timings=timings,
        read_as=read_as,
        budget=budget,
    )
    seen = convert.provenance(provenance_to_pb(provenance))
    assert (seen.route.value, seen.path, seen.reason) == (route.kind.value, route.path, "why")
    assert (seen.namespace, seen.sequence, seen.edition) == ("team-a", 7, 3)
    assert [edit.score for edit in seen.edits] == [hit.score for hit in hits]
    assert [edit.mention for edit in seen.edits] == [hit.candidate.mention for hit in hits]
    assert len(seen.rejected) == min(16, len(turned_down))
    assert {edit.reject_reason for edit in seen.rejected} <= {"below_threshold"}
    assert seen.timings.total_ms == timings.total_ms
    assert seen.query_read_as == (read_as or "")
    assert seen.error_budget == (budget.share if budget else None)
    assert seen.budget_source == (budget.source.value if budget else "")


def test_every_enum_of_the_domain_has_its_name_on_the_wire() -> None:
    pairs = [
        (EditState, resources_pb2.EditState, "EDIT_STATE_"),
        (RouteKind, resources_pb2.RouteKind, "ROUTE_KIND_"),
        (RejectReason, resources_pb2.RejectReason, "REJECT_REASON_"),
        (BudgetSource, resources_pb2.BudgetSource, "BUDGET_SOURCE_"),
        (EntryKind, memory_pb2.ChangeKind, "CHANGE_KIND_"),
        (WriteOutcome, memory_pb2.WriteOutcome, "WRITE_OUTCOME_"),
    ]
    for domain, wire, prefix in pairs:
        names = {name.removeprefix(prefix) for name in wire.keys()}  # noqa: SIM118
        assert names - {"UNSPECIFIED"} == {value.name for value in domain}


def test_outcomes_keep_their_meaning_at_the_client() -> None:
    for outcome in WriteOutcome:
        message = memory_pb2.WriteEditResponse(outcome=outcome_to_pb(outcome))
        assert convert.written(message).outcome.value == outcome.value


def test_unset_sampling_takes_the_defaults_and_set_values_count_even_when_zero() -> None:
    assert read_sampling(inference_pb2.Sampling()).max_tokens == 64
    with pytest.raises(InvalidInput) as caught:
        read_sampling(inference_pb2.Sampling(max_tokens=0))
    assert caught.value.field == "sampling.max_tokens"


def test_an_unknown_state_in_a_filter_is_refused_and_its_place_named() -> None:
    message = memory_pb2.EditFilter(states=[1, 99])  # type: ignore[list-item]
    with pytest.raises(InvalidInput) as caught:
        read_filter(message)
    assert caught.value.field == "filter.states[1]"
    assert state_from_pb(1, field="f") is EditState.ACTIVE


@pytest.mark.parametrize("path", ["nonsense", "name", "state", "expire_time.seconds", "*,subject"])
def test_an_unknown_mask_path_is_refused(path: str) -> None:
    request = memory_pb2.UpdateEditRequest()
    request.update_mask.paths.append(path)
    with pytest.raises(InvalidInput) as caught:
        read_changes(request)
    assert caught.value.field == "update_mask"


def test_a_mask_changes_exactly_its_fields_and_a_masked_unset_field_is_cleared() -> None:
    request = memory_pb2.UpdateEditRequest()
    request.edit.target = "kept out"
    request.update_mask.paths.extend(["former", "author", "expire_time"])
    assert read_changes(request).given() == {"former": None, "author": "", "expires_at_s": None}


def test_without_a_mask_the_set_fields_change_and_a_star_means_all() -> None:
    request = memory_pb2.UpdateEditRequest()
    request.edit.target = "new"
    request.edit.name = "namespaces/default/edits/abcd"
    assert read_changes(request).given() == {"target": "new"}
    request.update_mask.paths.append("*")
    assert len(read_changes(request).given()) == len(MASK_FIELDS)


@pytest.mark.parametrize(
    ("domain", "wire"),
    [
        ("target", "edit.target"),
        ("expires_at_s", "edit.expire_time"),
        ("aliases[2]", "edit.aliases[2]"),
        ("edits[3].target", "requests[3].edit.target"),
        ("edits[3].expires_at_s", "requests[3].edit.expire_time"),
        ("edits[3].edit_id", "requests[3].edit_id"),
        ("edit_id", "edit_id"),
        ("request_id", "request_id"),
        ("", ""),
    ],
)
def test_fields_are_named_as_they_are_on_the_wire(domain: str, wire: str) -> None:
    with pytest.raises(InvalidInput) as caught, fields_under("edit."):
        raise InvalidInput("m", field=domain)
    assert caught.value.field == wire
