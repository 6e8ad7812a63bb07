"""Our exchange format: what is written is read back the same; foreign keys are refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.errors import InvalidInput
from memory.record import DEFAULT_NAMESPACE, Edit, EditDraft, EditId, EditState
from memory.transfer import (
    DRAFT_KEYS,
    draft_of,
    export_jsonl,
    json_to_draft,
    record_to_json,
)

texts = st.text(max_size=30)
some_texts = st.text(min_size=1, max_size=30)
drafts = st.builds(
    EditDraft,
    subject=texts,
    prompt=texts,
    target=texts,
    former=st.none() | texts,
    aliases=st.lists(texts, max_size=3).map(tuple),
    author=texts,
    source=texts,
    labels=st.dictionaries(texts, texts, max_size=3).map(lambda held: tuple(held.items())),
    expires_at_s=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    edit_id=st.none() | some_texts.map(EditId),
)


@settings(deadline=None)
@given(drafts)
def test_a_draft_survives_the_round_trip_on_one_line(draft: EditDraft) -> None:
    line = record_to_json(draft)
    assert "\n" not in line
    assert json_to_draft(line) == draft


@settings(deadline=None)
@given(drafts, st.sampled_from([EditState.ACTIVE, EditState.CONSOLIDATED]))
def test_an_exported_edit_can_be_made_again(draft: EditDraft, state: EditState) -> None:
    edit = Edit(
        id=EditId(draft.edit_id or "edit-1"),
        namespace=DEFAULT_NAMESPACE,
        subject=draft.subject,
        prompt=draft.prompt,
        target=draft.target,
        former=draft.former,
        aliases=draft.aliases,
        labels=draft.labels,
        expires_at_s=draft.expires_at_s,
        state=state,
        sequence=9,
    )
    assert json_to_draft(record_to_json(edit)) == draft_of(edit)


def test_export_writes_as_edits_come_and_keeps_none() -> None:
    out = io.StringIO()
    seen: list[int] = []

    def edits() -> Iterator[Edit]:
        for number in range(3):
            seen.append(out.getvalue().count("\n"))
            yield Edit(
                id=EditId(f"e-{number}"),
                namespace=DEFAULT_NAMESPACE,
                subject="Ö",
                prompt="Ö is",
                target="x",
            )

    assert export_jsonl(edits(), out) == 3
    assert seen == [0, 1, 2]
    assert "Ö" in out.getvalue()


def test_every_documented_key_is_read() -> None:
    values = {
        "subject": "a",
        "prompt": "a is",
        "target": "b",
        "former": "c",
        "aliases": ["d"],
        "author": "e",
        "source": "f",
        "labels": {"g": "h"},
        "expires_at": "2030-01-01T01:00:00+01:00",
        "edit_id": "edit-1",
    }
    assert set(values) | {"expires_at_s"} == set(DRAFT_KEYS)
    draft = json_to_draft(json.dumps(values))
    assert draft.expires_at_s == 1893456000.0
    assert draft.labels == (("g", "h"),)


def test_two_expiries_are_refused() -> None:
    record: dict[str, object] = {"subject": "a", "prompt": "a", "target": "b", "expires_at_s": 1}
    with pytest.raises(InvalidInput, match="not both"):
        json_to_draft(json.dumps(record | {"expires_at": "2030-01-01"}))


@pytest.mark.parametrize("value", [True, "12", [1], 10**400])
def test_an_expiry_that_is_no_finite_number_is_refused(value: object) -> None:
    record = {"subject": "a", "prompt": "a", "target": "b", "expires_at_s": value}
    with pytest.raises(InvalidInput) as caught:
        json_to_draft(json.dumps(record))
    assert caught.value.field == "expires_at_s"


@pytest.mark.parametrize("state", [EditState.RETIRED, EditState.SUPERSEDED, EditState.EXPIRED])
def test_an_edit_no_longer_in_force_is_not_imported_again(state: EditState) -> None:
    record = {"subject": "a", "prompt": "a", "target": "b", "state": state.value}
    with pytest.raises(InvalidInput, match="only edits in force"):
        json_to_draft(json.dumps(record))
