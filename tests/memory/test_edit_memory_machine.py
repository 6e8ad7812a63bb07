"""A state machine: EditMemory against a plain dict, through any order of writes and reopenings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from memory.conflicts import normalise, same_text
from memory.errors import EditConflict, ErrataError, WrongState
from memory.record import (
    Activation,
    ConflictPolicy,
    Edit,
    EditDraft,
    EditId,
    EditState,
    Namespace,
    Query,
)
from memory.validate import validate_draft
from memory.writes import EditChanges, WriteOutcome
from tests.hash_encoder import HashEncoder
from tests.memory_kit import SettableClock, open_memory
from tests.strategies import TARGETS, drafts

SPACES = (Namespace("default"), Namespace("other"))
LIVE = {EditState.ACTIVE, EditState.CONSOLIDATED}


Name = tuple[Namespace, EditId]


class Model:
    """What should hold, in the plainest words: per namespace, id to (draft, state)."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, tuple[EditDraft, EditState]]] = {"default": {}}

    def live(self, space: str, now_s: float) -> dict[str, EditDraft]:
        return {
            name: draft
            for name, (draft, state) in self.spaces.get(space, {}).items()
            if state in LIVE and (draft.expires_at_s is None or draft.expires_at_s > now_s)
        }

    def state(self, space: str, name: str, now_s: float) -> EditState:
        draft, state = self.spaces[space][name]
        gone = draft.expires_at_s is not None and draft.expires_at_s <= now_s
        return EditState.EXPIRED if state in LIVE and gone else state

    def conflict(self, space: str, draft: EditDraft, now_s: float) -> str | None:
        for name, other in self.live(space, now_s).items():
            if normalise(other.subject) == normalise(draft.subject) and normalise(
                other.prompt
            ) == normalise(draft.prompt):
                return name
        return None


class MemoryMachine(RuleBasedStateMachine):
    edits = Bundle("edits")

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.clock = SettableClock()
        self.model = Model()
        self.edition = 0
        self.editions: dict[tuple[str, int], tuple[Activation, dict[EditId, EditDraft]]] = {}
        self.active: dict[str, int] = {}
        self.encoder = HashEncoder(dimension=16)
        self.open()

    def open(self) -> None:
        self.memory = open_memory(self.directory / "data", clock=self.clock, encoder=self.encoder)
        self.sequence = self.memory.snapshot().sequence

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            self.memory.close()
            shutil.rmtree(self.directory)

    @rule(
        target=edits,
        space=st.sampled_from(SPACES),
        given=drafts(),
        policy=st.sampled_from(ConflictPolicy),
        lives_s=st.none() | st.integers(1, 30),
    )
    def create(
        self, space: Namespace, given: EditDraft, policy: ConflictPolicy, lives_s: int | None
    ) -> Any:
        given = self.dated(given, lives_s)
        expected = self.expect(space, given, policy)
        try:
            result = self.memory.create(given, namespace=space, on_conflict=policy)
        except EditConflict:
            assert expected is None
            return multiple()
        assert result.outcomes == (expected,)
        return self.note(space, given, result.edits[0], expected)

    @rule(
        target=edits,
        space=st.sampled_from(SPACES),
        batch=st.lists(drafts(), min_size=1, max_size=4),
        policy=st.sampled_from(ConflictPolicy),
    )
    def create_batch(self, space: Namespace, batch: list[EditDraft], policy: ConflictPolicy) -> Any:
        before = {key: dict(value) for key, value in self.model.spaces.items()}
        made = []
        for place, raw in enumerate(batch):
            given = self.dated(raw, None)
            expected = self.expect(space, given, policy)
            if expected is None:
                self.model.spaces = before
                with pytest.raises(EditConflict, match=rf"edits\[{place}\]"):
                    self.memory.create_batch(batch, namespace=space, on_conflict=policy)
                return multiple()
            made.append((expected, given))
            name = f"planned-{place}"
            if expected in {WriteOutcome.CREATED, WriteOutcome.SUPERSEDED}:
                self.supersede(space, given)
                self.model.spaces.setdefault(space, {})[name] = (given, EditState.ACTIVE)
        result = self.memory.create_batch(batch, namespace=space, on_conflict=policy)
        assert result.outcomes == tuple(expected for expected, _ in made)
        self.model.spaces = before
        names = []
        for (expected, given), edit in zip(made, result.edits, strict=True):
            names.append(self.note(space, given, edit, expected))
        return multiple(*dict.fromkeys(names))

    @rule(name=edits, target_text=st.sampled_from(TARGETS), stale=st.booleans())
    def update(self, name: Name, target_text: str, stale: bool) -> None:
        space, edit_id = name
        now = self.memory.get(edit_id, namespace=space)
        etag = "0" * 16 if stale else now.etag
        changes = EditChanges(target=target_text)
        live = self.model.state(space, edit_id, self.clock()) in LIVE
        known = self.memory.snapshot().revisions(space, edit_id)[-1]
        try:
            result = self.memory.update(edit_id, changes, namespace=space, etag=etag)
        except ErrataError:
            assert stale or not live
            return
        assert live
        assert not stale
        draft, state = self.model.spaces[space][edit_id]
        unchanged = target_text == draft.target
        assert result.outcomes == ((WriteOutcome.UNCHANGED if unchanged else WriteOutcome.UPDATED),)
        assert result.edits[0].revision == known.revision + (not unchanged)
        if not unchanged:
            state = EditState.ACTIVE
        self.model.spaces[space][edit_id] = (
            EditDraft(**{**fields(draft), "target": target_text}),
            state,
        )

    @rule(name=edits)
    def retire(self, name: Name) -> None:
        space, edit_id = name
        state = self.model.spaces[space][edit_id][1]
        known = self.memory.snapshot().revisions(space, edit_id)[-1]
        try:
            self.memory.retire(edit_id, namespace=space, reason="wrong")
        except WrongState:  # Retired before, or expired: by its entry, or by the clock alone.
            now = self.model.state(space, edit_id, self.clock())
            assert known.state not in LIVE or now not in LIVE
            return
        assert state in LIVE
        self.model.spaces[space][edit_id] = (
            self.model.spaces[space][edit_id][0],
            EditState.RETIRED,
        )

    @rule(name=edits)
    def restore(self, name: Name) -> None:
        space, edit_id = name
        draft, _ = self.model.spaces[space][edit_id]
        state = self.model.state(space, edit_id, self.clock())
        conflict = self.model.conflict(space, draft, self.clock())
        try:
            self.memory.restore(edit_id, namespace=space)
        except WrongState:
            assert state in LIVE
            return
        except EditConflict:
            assert conflict is not None
            return
        assert state not in LIVE
        assert conflict is None
        gone = draft.expires_at_s is not None and draft.expires_at_s <= self.clock()
        if gone:
            draft = EditDraft(**{**fields(draft), "expires_at_s": None})
        self.model.spaces[space][edit_id] = (draft, EditState.ACTIVE)

    @rule(names=st.lists(edits, min_size=1, max_size=3), leave=st.booleans())
    def consolidate(self, names: list[Name], leave: bool) -> None:
        space = names[0][0]
        edit_ids = list(dict.fromkeys(edit_id for name, edit_id in names if name == space))
        live = all(self.model.state(space, name, self.clock()) in LIVE for name in edit_ids)
        self.edition += 1
        edition = self.edition
        revised = tuple((name, self.revision(space, name)) for name in edit_ids)
        left = 1 if leave and len(revised) > 1 else 0
        contents = Activation(
            namespace=space, edition=edition, took=revised[left:], left=revised[:left]
        )
        try:
            self.activate(space, edition, contents)
        except WrongState:
            assert not live
            return
        assert live
        known = self.model.spaces[space]
        drafts_held = {name: known[name][0] for name in edit_ids}
        self.editions[space, edition] = (contents, drafts_held)
        self.active[space] = edition

    @rule(space=st.sampled_from(SPACES), back=st.integers(0, 2))
    def roll_back(self, space: Namespace, back: int) -> None:
        known = sorted(edition for name, edition in self.editions if name == space)
        if space not in self.memory.snapshot().namespaces:
            return
        edition = [*reversed(known), 0, 0, 0][back]
        stale = edition != 0 and self.stale(space, edition)
        activation = Activation(namespace=space, edition=0)
        if edition:
            activation = self.editions[space, edition][0]
        try:
            self.memory.activate_edition(activation)
        except WrongState:
            assert stale
            return
        assert not stale
        self.active[space] = edition

    def activate(self, space: Namespace, edition: int, contents: Activation) -> None:
        result = self.memory.activate_edition(contents)
        assert self.memory.snapshot().edition(space) == edition
        again = self.memory.activate_edition(contents)
        assert set(again.outcomes) <= {WriteOutcome.UNCHANGED}
        assert again.sequence == result.sequence

    def revision(self, space: Namespace, edit_id: EditId) -> int:
        return self.memory.snapshot().revisions(space, edit_id)[-1].revision

    def stale(self, space: Namespace, edition: int) -> bool:
        """Whether an edition was computed from what is not in force, or says otherwise now."""
        live = self.model.live(space, self.clock())
        held = self.editions[space, edition][1]
        return any(name not in live or said(live[name]) != said(held[name]) for name in held)

    def check_edition(self, space: Namespace) -> None:
        """The edition in use says nothing stale; it is left for no other reason."""
        edition = self.memory.snapshot().edition(space)
        assert edition == 0 or not self.stale(space, edition)
        expected = self.active.get(space, 0)
        if expected == 0 or not self.stale(space, expected):
            assert edition == expected
        logged = self.memory.activations(space)
        if expected and self.stale(space, expected):
            # Left by the clock alone it is edition 0 until the log names the one that follows.
            self.active[space] = logged[-1].edition
            assert edition in {0, logged[-1].edition}
        took = {edit_id for edit_id, _ in logged[-1].took} if logged else set()
        held = {
            edit.id: edit.edition
            for edit_id in self.model.spaces.get(space, {})
            if (edit := self.memory.history(EditId(edit_id), namespace=space)[-1]).state
            is EditState.CONSOLIDATED
        }
        assert took == set(held)
        assert {logged[-1].edition if logged else 0} >= set(held.values())

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.clock.now_s += seconds

    @rule()
    def sweep(self) -> None:
        self.memory.expire_due()

    @rule()
    def reopen(self) -> None:
        sequence = self.memory.snapshot().sequence
        self.memory.expire_due()
        sequence = max(sequence, self.memory.snapshot().sequence)
        self.memory.close()
        encoded = self.encoder.encoded
        self.open()
        assert self.sequence == sequence
        assert encoded == self.encoder.encoded, "a restart encodes nothing again"

    @rule()
    def crash_and_reopen(self) -> None:
        """What a killed process leaves: the files as they are, write-ahead file and all."""
        crashed = self.directory / "crashed"
        self.memory._writer.call(
            lambda: shutil.copytree(self.directory / "data", crashed, dirs_exist_ok=True)
        )
        sequence = self.memory.snapshot().sequence
        self.memory.close()
        shutil.rmtree(self.directory / "data")
        crashed.rename(self.directory / "data")
        self.open()
        assert self.sequence >= sequence

    @precondition(lambda self: hasattr(self, "memory"))
    @invariant()
    def everything_agrees(self) -> None:
        assert self.memory.check_integrity(repair=False).problems == ()
        snapshot = self.memory.snapshot()
        assert set(self.model.spaces) <= set(snapshot.namespaces)
        for space in snapshot.namespaces:
            self.check_space(space)
            self.check_edition(space)
        entries = self.memory.entries(1, 100_000)
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
        # What expires is written down beside this: between two looks the log may have grown.
        assert snapshot.sequence <= len(entries) <= self.memory.snapshot().sequence

    def check_space(self, space: Namespace) -> None:
        now_s = self.clock()
        snapshot = self.memory.snapshot()
        known = self.model.spaces.get(space, {})
        found = {edit.id: edit for _, edit in snapshot.edits_from(space, 0)}
        assert set(known) == set(found)
        for name, (draft, _) in known.items():
            edit = found[EditId(name)]
            shown = EditState.ACTIVE if edit.state is EditState.CONSOLIDATED else edit.state
            assert self.model.state(space, name, now_s) == shown
            assert (draft.subject, draft.prompt, draft.target, draft.expires_at_s) == (
                edit.subject,
                edit.prompt,
                edit.target,
                edit.expires_at_s,
            )
        as_said = snapshot.edits_at(space, snapshot.places_as_said(space))
        assert [edit.id for edit in as_said] == sorted(
            found, key=lambda edit_id: snapshot.said_at(space, edit_id)
        )
        live = self.model.live(space, now_s)
        listed = []
        token = ""
        while True:
            page = self.memory.list_edits(space, page_size=2, page_token=token)
            listed += [edit.id for edit in page.edits]
            token = page.next_page_token
            if not token:
                break
        assert sorted(live) == sorted(listed)
        for draft in live.values():
            query = Query(text=draft.prompt, vector=self.encoder.encode(draft.prompt))
            candidates = snapshot.candidates(space, query, 3)
            assert {found.edit.id for found in candidates} <= set(live)
            subjects = {normalise(found.edit.subject) for found in candidates}
            assert normalise(draft.subject) in subjects

    def dated(self, draft: EditDraft, lives_s: int | None) -> EditDraft:
        expires_at_s = None if lives_s is None else self.clock() + lives_s
        return validate_draft(EditDraft(**{**fields(draft), "expires_at_s": expires_at_s}))

    def expect(
        self, space: Namespace, draft: EditDraft, policy: ConflictPolicy
    ) -> WriteOutcome | None:
        """The outcome, None for a conflict."""
        holder = self.model.conflict(space, draft, self.clock())
        if holder is None:
            return WriteOutcome.CREATED
        if policy is ConflictPolicy.FAIL:
            return None
        if same_text(self.model.spaces[space][holder][0].target, draft.target):
            return WriteOutcome.UNCHANGED
        skip = policy is ConflictPolicy.SKIP
        return WriteOutcome.SKIPPED if skip else WriteOutcome.SUPERSEDED

    def supersede(self, space: Namespace, draft: EditDraft) -> None:
        holder = self.model.conflict(space, draft, self.clock())
        if holder is not None:
            old = self.model.spaces[space][holder][0]
            self.model.spaces[space][holder] = (old, EditState.SUPERSEDED)

    def note(
        self, space: Namespace, draft: EditDraft, edit: Edit, outcome: WriteOutcome | None
    ) -> Name:
        if outcome in {WriteOutcome.CREATED, WriteOutcome.SUPERSEDED}:
            self.supersede(space, draft)
            self.model.spaces.setdefault(space, {})[edit.id] = (draft, EditState.ACTIVE)
        return (space, edit.id)


def said(draft: EditDraft) -> tuple[object, ...]:
    return draft.subject, draft.prompt, draft.target, draft.aliases


def fields(draft: EditDraft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in draft.__dataclass_fields__}


MemoryMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMemoryMachine = MemoryMachine.TestCase


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestMemoryMachineLong(MemoryMachine.TestCase):  # type: ignore[misc, valid-type]
    """The same, for longer."""

    settings = settings(
        max_examples=300,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
