"""From protobuf answers to the client's values; the only reader of protobuf fields in `errata/`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from errata.answers import (
    Answer,
    ChosenToken,
    Explanation,
    Provenance,
    RouteKind,
    ScoredEdit,
    ScoredText,
    Scores,
    Timings,
    TokenLogprob,
    Usage,
)
from errata.failures import from_status
from errata.results import (
    Activation,
    BatchWritten,
    Change,
    ChangeKind,
    Edit,
    EditPage,
    EditState,
    ImportProgress,
    Outcome,
    Overlap,
    OverlapPair,
    OverlapSearch,
    RefusedRecord,
    SearchHit,
    ServerStatus,
    Written,
)
from errata.sizes import ModelStatus, NamespaceStatus
from protos.errata.v1 import inference_pb2, memory_pb2, resources_pb2


def _enum_text(wrapper: Any, number: int, prefix: str) -> str:
    """Returns an enum value's lower-case name without its prefix; "" when unspecified."""
    if number == 0 or number not in wrapper.values():
        return ""
    return str(wrapper.Name(number)).removeprefix(prefix).lower()


def _time(message: Any, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    when: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return when


def edit(message: resources_pb2.Edit) -> Edit:
    """Converts an edit."""
    state = _enum_text(resources_pb2.EditState, message.state, "EDIT_STATE_")
    return Edit(
        name=message.name,
        subject=message.subject,
        prompt=message.prompt,
        target=message.target,
        former=message.former if message.HasField("former") else None,
        aliases=tuple(message.aliases),
        author=message.author,
        source=message.source,
        labels=dict(message.labels),
        state=EditState(state or "active"),
        revision=message.revision,
        sequence=message.sequence,
        created_at=_time(message, "create_time"),
        updated_at=_time(message, "update_time"),
        expires_at=_time(message, "expire_time"),
        etag=message.etag,
        supersedes=message.supersedes,
        superseded_by=message.superseded_by,
        edition=message.edition if message.HasField("edition") else None,
    )


def _outcome(number: int) -> Outcome:
    text = _enum_text(memory_pb2.WriteOutcome, number, "WRITE_OUTCOME_")
    return Outcome(text or "created")


def written(message: memory_pb2.WriteEditResponse) -> Written:
    """Converts the answer to a single write."""
    return Written(
        edit=edit(message.edit),
        outcome=_outcome(message.outcome),
        sequence=message.sequence,
        replayed=message.replayed,
        overlaps=tuple(_overlap(item) for item in message.overlaps),
        overlaps_checked=message.overlaps_checked,
    )


def batch_written(message: memory_pb2.BatchCreateEditsResponse) -> BatchWritten:
    """Converts the answer to a batch."""
    return BatchWritten(
        edits=tuple(edit(item) for item in message.edits),
        outcomes=tuple(_outcome(number) for number in message.outcomes),
        sequence=message.sequence,
        replayed=message.replayed,
        overlaps=tuple(_overlap_pair(item) for item in message.overlaps),
        overlaps_checked=message.overlaps_checked,
    )


def _overlap(message: memory_pb2.Overlap) -> Overlap:
    return Overlap(
        edit=edit(message.edit),
        score=message.score,
        threshold=message.threshold,
        reverse=message.reverse,
    )


def _overlap_pair(message: memory_pb2.OverlapPair) -> OverlapPair:
    return OverlapPair(edit=edit(message.edit), overlap=_overlap(message.overlap))


def overlap_search(message: memory_pb2.FindOverlapsResponse) -> OverlapSearch:
    """Converts one message of a search for overlaps."""
    return OverlapSearch(
        examined=message.examined,
        total=message.total,
        found=message.found,
        sequence=message.sequence,
        done=message.done,
        pairs=tuple(_overlap_pair(item) for item in message.pairs),
    )


def page(message: memory_pb2.ListEditsResponse) -> EditPage:
    """Converts one page of a listing."""
    return EditPage(
        edits=tuple(edit(item) for item in message.edits),
        next_page_token=message.next_page_token,
        sequence=message.sequence,
    )


def search_hits(message: memory_pb2.SearchEditsResponse) -> tuple[SearchHit, ...]:
    """Converts the results of a search, best first."""
    return tuple(
        SearchHit(edit=edit(item.edit), cosine=item.cosine, mention=item.mention)
        for item in message.results
    )


def _scored_edit(message: resources_pb2.ScoredEdit) -> ScoredEdit:
    reject = _enum_text(resources_pb2.RejectReason, message.reject_reason, "REJECT_REASON_")
    return ScoredEdit(
        name=message.edit,
        statement=message.statement,
        score=message.score,
        threshold=message.threshold,
        cosine=message.cosine,
        revision=message.revision,
        rank=message.retrieval_rank,
        mention=message.mention,
        reject_reason=reject,
    )


def timings(message: resources_pb2.StageTimings) -> Timings:
    """Converts stage timings."""
    return Timings(**{name: getattr(message, name) for name in Timings.__dataclass_fields__})


def provenance(message: resources_pb2.Provenance) -> Provenance:
    """Converts where an answer came from."""
    route = _enum_text(resources_pb2.RouteKind, message.route, "ROUTE_KIND_")
    return Provenance(
        request_id=message.request_id,
        namespace=message.namespace.removeprefix("namespaces/"),
        route=RouteKind(route or "base"),
        path=message.path,
        reason=message.reason,
        edits=tuple(_scored_edit(hit) for hit in message.hits),
        rejected=tuple(_scored_edit(hit) for hit in message.rejected),
        sequence=message.sequence,
        edition=message.edition,
        classifier=message.classifier,
        calibrated=message.calibrated,
        timings=timings(message.timings),
        query_read_as=message.query_read_as,
        error_budget=message.error_budget if message.HasField("error_budget") else None,
        budget_source=_enum_text(
            resources_pb2.BudgetSource, message.budget_source, "BUDGET_SOURCE_"
        ),
    )


def _usage(message: inference_pb2.Usage) -> Usage:
    return Usage(
        prompt_tokens=message.prompt_tokens,
        completion_tokens=message.completion_tokens,
        cached_tokens=message.cached_tokens,
        edit_tokens=message.edit_tokens,
        seed=message.seed if message.HasField("seed") else None,
    )


def _token(message: inference_pb2.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(token_id=message.token_id, text=message.text, logprob=message.logprob)


def chosen_token(message: inference_pb2.ChosenToken) -> ChosenToken:
    """Converts a chosen token with the others at its place."""
    return ChosenToken(
        chosen=_token(message.chosen), top=tuple(_token(token) for token in message.top)
    )


def answer(message: inference_pb2.GenerateResponse) -> Answer:
    """Converts a whole answer."""
    return finished_answer(
        text=message.text,
        where=provenance(message.provenance),
        finish=message.finish,
        logprobs=tuple(chosen_token(token) for token in message.logprobs),
        token_ids=tuple(message.token_ids),
        prompt_token_ids=tuple(message.prompt_token_ids),
    )


def finished_answer(
    *,
    text: str,
    where: Provenance,
    finish: inference_pb2.Finish,
    logprobs: tuple[ChosenToken, ...] = (),
    token_ids: tuple[int, ...] = (),
    prompt_token_ids: tuple[int, ...] = (),
) -> Answer:
    """Puts an answer together from its text, its provenance and how it ended."""
    return Answer(
        text=text,
        provenance=where,
        finish_reason=_enum_text(inference_pb2.FinishReason, finish.reason, "FINISH_REASON_"),
        stop_match=finish.stop_match,
        usage=_usage(finish.usage),
        timings=timings(finish.timings),
        logprobs=logprobs,
        token_ids=token_ids,
        prompt_token_ids=prompt_token_ids,
    )


def explanation(message: inference_pb2.ExplainRouteResponse) -> Explanation:
    """Converts a route without a generation."""
    return Explanation(
        provenance=provenance(message.provenance),
        decoded_prompt=message.decoded_prompt,
        prompt_tokens=message.prompt_tokens,
    )


def scores(message: inference_pb2.ScoreResponse) -> Scores:
    """Converts scored continuations."""
    scored = tuple(
        ScoredText(
            text=item.text,
            logprob=item.logprob,
            tokens=tuple(_token(token) for token in item.tokens),
            greedy=item.greedy,
        )
        for item in message.scores
    )
    return Scores(scores=scored, provenance=provenance(message.provenance))


def import_progress(message: memory_pb2.ImportEditsResponse) -> ImportProgress:
    """Converts one report of progress."""
    return ImportProgress(
        received=message.received,
        created=message.created,
        superseded=message.superseded,
        skipped=message.skipped,
        already_imported=message.already_imported,
        refused=message.refused,
        durable_row=message.durable_row,
        sequence=message.sequence,
        done=message.done,
        errors=tuple(_refused(item) for item in message.errors),
    )


def _refused(message: memory_pb2.RecordError) -> RefusedRecord:
    error = from_status(message.status)
    return RefusedRecord(row=message.row, reason=error.reason, message=error.message)


def change(message: memory_pb2.WatchEditsResponse) -> Change:
    """Converts one message of a watch."""
    kind = _enum_text(memory_pb2.ChangeKind, message.kind, "CHANGE_KIND_")
    return Change(
        sequence=message.sequence,
        kind=ChangeKind(kind) if kind else None,
        edit=edit(message.edit) if message.HasField("edit") else None,
        at=_time(message, "time"),
        reason=message.reason,
        checkpoint=message.checkpoint,
        activation=_activation(message.activation) if message.HasField("activation") else None,
    )


def _activation(message: memory_pb2.EditionActivation) -> Activation:
    return Activation(
        namespace=message.namespace.rpartition("/")[2],
        edition=message.edition,
        took=tuple(message.took),
        left=tuple(message.left),
        automatic=message.automatic,
    )


def server_status(message: memory_pb2.MemoryStatus) -> ServerStatus:
    """Converts the status of memory and model."""
    sizes = tuple(_namespace_status(item) for item in message.namespaces)
    model = ModelStatus(
        **{name: getattr(message.model, name) for name in ModelStatus.__dataclass_fields__}
    )
    return ServerStatus(
        sequence=message.sequence,
        namespaces=sizes,
        encoder=message.encoder,
        classifier=message.classifier,
        log_bytes=message.log_bytes,
        read_only_reason=message.read_only_reason,
        model=model,
        started_at=_time(message, "start_time"),
        version=message.version,
    )


def _namespace_status(message: memory_pb2.NamespaceStatus) -> NamespaceStatus:
    fields = {name: getattr(message, name) for name in NamespaceStatus.__dataclass_fields__}
    fields["name"] = message.name.removeprefix("namespaces/")
    return NamespaceStatus(**fields)
