"""Jobs: every way to end leaves the state before or after, and says which."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memory.errors import (
    ConsolidationRunning,
    InvalidInput,
    NotFound,
    RequestIdReused,
    WrongState,
)
from memory.paging import EditFilter
from memory.record import DEFAULT_NAMESPACE, Edit, EditState, Namespace
from runtime.consolidation import files
from runtime.consolidation.admission import Admission
from runtime.consolidation.operations import Operation, OperationStore, Stage, State
from runtime.consolidation.spec import GateLimits
from runtime.consolidation.stages import Stages
from runtime.engine.load import LoadedModel
from tests.consolidation_kit import Bench, Killed, load_tiny, scaled, spoiled
from tests.readout_editor import ReadoutEditor
from tests.tiny_models import save_tiny_model

OTHER = Namespace("other")
STAGES = ("selecting", "covariance", "targets", "solving", "gating", "writing", "activating")

Open = Callable[..., Bench]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(save_tiny_model(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.fixture
def opened(tmp_path: Path, loaded: LoadedModel) -> Iterator[Open]:
    benches: list[Bench] = []

    def make(**more: Any) -> Bench:
        benches.append(Bench(tmp_path, loaded, **more))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def edition(bench: Bench, namespace: Namespace = DEFAULT_NAMESPACE) -> int:
    return bench.memory.snapshot().edition(namespace)


def state_of(bench: Bench, edit: Edit) -> EditState:
    return bench.memory.get(edit.id, namespace=edit.namespace).state


def test_a_job_writes_gates_and_activates_an_edition(opened: Open) -> None:
    bench = opened()
    before = bench.base_bits()
    edits = bench.add(3)
    done = bench.run()
    assert (done.state, done.stage, done.error) == (State.SUCCEEDED, Stage.DONE, "")
    assert (done.edition, done.activated, done.edits) == (1, True, 3)
    assert edition(bench) == 1
    record = bench.store.record(1)
    assert [held.edit_id for held in record.edits] == [edit.id for edit in edits]
    assert {m.name for m in record.measures} >= {"reliability", "neighbours", "perplexity_ratio"}
    took = {held.edit_id for held in record.took}
    assert took, "the editor of the tests makes its edits take"
    for edit in edits:
        expected = EditState.CONSOLIDATED if edit.id in took else EditState.ACTIVE
        assert expected is state_of(bench, edit)
    assert before == bench.base_bits()
    assert not (bench.folder / "data" / "consolidation" / done.id).exists()


def test_an_edition_is_computed_from_the_base_over_the_whole_set(opened: Open) -> None:
    bench = opened()
    first = bench.add(2)
    bench.run()
    second = bench.add(1)
    bench.run(edit_filter=EditFilter(subject=second[0].subject))
    record = bench.store.record(2)
    assert [held.edit_id for held in record.edits] == [edit.id for edit in [*first, *second]]
    former = next(one for one in record.measures if one.name == "former")
    assert former.count == len(bench.store.record(1).took)
    assert edition(bench) == 2


def test_a_job_of_one_namespace_leaves_the_other_alone(opened: Open) -> None:
    bench = opened()
    ours, theirs = bench.add(1), bench.add(1, OTHER)
    bench.run()
    assert (edition(bench), edition(bench, OTHER)) == (1, 0)
    assert [held.edit_id for held in bench.store.record(1).edits] == [ours[0].id]
    assert state_of(bench, theirs[0]) is EditState.ACTIVE


def test_a_refused_edition_changes_nothing_and_says_why(opened: Open) -> None:
    bench = opened(gate=GateLimits(took_min=1.1))
    edits = bench.add(2)
    done = bench.run()
    assert (done.state, done.error_reason) == (State.FAILED, "CONSOLIDATION_FAILED")
    assert "the gate refuses the edition: reliability is" in done.error
    assert "asked for is >= 1.1" in done.error
    assert (edition(bench), bench.store.numbers()) == (0, ())
    assert state_of(bench, edits[0]) is EditState.ACTIVE


def nan(delta: Any) -> Any:
    matrices = tuple(replace(one, left=one.left * float("nan")) for one in delta.matrices)
    return replace(delta, matrices=matrices)


@pytest.mark.parametrize(("spoil", "said"), [(nan, "not finite"), (scaled(1e38), "not finite")])
def test_a_delta_that_is_no_number_is_a_clear_failure(
    opened: Open, spoil: Callable[[Any], Any], said: str
) -> None:
    bench = opened(editors={"bad": spoiled(spoil)})
    bench.add(1)
    done = bench.run()
    assert done.state is State.FAILED
    assert said in done.error
    assert (edition(bench), bench.store.numbers()) == (0, ())


def test_without_activation_the_edition_waits_to_be_activated(opened: Open) -> None:
    bench = opened()
    bench.add(2)
    done = bench.run(activate=False)
    assert (done.state, done.edition, done.activated) == (State.SUCCEEDED, 1, False)
    assert edition(bench) == 0
    bench.editions.activate(DEFAULT_NAMESPACE, 1)
    assert edition(bench) == 1


def test_validate_only_estimates_and_writes_nothing(opened: Open) -> None:
    bench = opened(memory_cap_bytes=10)
    bench.add(3)
    done = bench.consolidator.submit(bench.request(validate_only=True))
    assert done.state is State.SUCCEEDED
    assert done.estimate is not None
    assert (done.estimate.edits, done.estimate.memory_bytes) == (3, 3000)
    assert (done.edition, bench.store.numbers()) == (None, ())


def test_a_job_that_needs_too_much_memory_is_not_begun(opened: Open) -> None:
    bench = opened(memory_cap_bytes=2000)
    bench.add(3)
    with pytest.raises(WrongState, match="memory_mb"):
        bench.consolidator.submit(bench.request())
    assert bench.operations.all() == []


def test_what_cannot_be_meant_is_refused(opened: Open) -> None:
    bench = opened()
    with pytest.raises(WrongState, match="nothing to write"):
        bench.consolidator.submit(bench.request())
    bench.add(1)
    with pytest.raises(InvalidInput, match="editor is 'rone'; known are readout"):
        bench.consolidator.submit(bench.request(editor="rone"))
    with pytest.raises(NotFound, match="other"):
        bench.consolidator.submit(bench.request(namespace=OTHER))
    with pytest.raises(InvalidInput, match="states"):
        bench.consolidator.submit(
            bench.request(edit_filter=EditFilter(states=(EditState.RETIRED,)))
        )


class Gate:
    """Holds a job at a stage until it is let on."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, stage: str) -> None:
        if stage == self.stage and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)


def test_one_job_at_a_time_and_request_ids_repeat_safely(opened: Open) -> None:
    gate = Gate("targets")
    bench = opened(on_stage=gate)
    bench.add(1)
    first = bench.consolidator.submit(bench.request(request_id="r"))
    assert gate.reached.wait(60)
    with pytest.raises(ConsolidationRunning, match=first.id):
        bench.consolidator.submit(bench.request())
    assert bench.consolidator.submit(bench.request(request_id="r")).id == first.id
    named = bench.request(request_id="r", editor=first.request.editor)
    assert bench.consolidator.submit(named).id == first.id
    with pytest.raises(RequestIdReused):
        bench.consolidator.submit(bench.request(request_id="r", editor="rome"))
    with pytest.raises(RequestIdReused):
        bench.consolidator.submit(bench.request(request_id="r", activate=False))
    assert bench.operations.get(first.id).stage is Stage.TARGETS
    gate.go_on.set()
    assert bench.wait(first).state is State.SUCCEEDED


def test_two_calls_with_one_request_id_at_once_are_one_job(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin is submitted whole after the first was found to be new, before it is begun."""
    gate = Gate("targets")
    bench = opened(on_stage=gate)
    bench.add(1)
    twins: list[Operation] = []
    select = Admission.select

    def selected(self: Admission, *arguments: Any) -> Any:
        monkeypatch.setattr(Admission, "select", select)
        twins.append(bench.consolidator.submit(bench.request(request_id="r")))
        return select(self, *arguments)

    monkeypatch.setattr(Admission, "select", selected)
    late = bench.consolidator.submit(bench.request(request_id="r"))
    assert [late.id] == [one.id for one in twins] == [one.id for one in bench.operations.all()]
    gate.go_on.set()
    assert bench.wait(late).state is State.SUCCEEDED


@pytest.mark.parametrize("stage", ["covariance", "targets", "solving", "gating"])
def test_a_cancelled_job_changes_nothing(opened: Open, stage: str) -> None:
    gate = Gate(stage)
    bench = opened(on_stage=gate)
    bench.add(1)
    running = bench.consolidator.submit(bench.request())
    assert gate.reached.wait(60)
    bench.consolidator.cancel(running.id)
    gate.go_on.set()
    done = bench.wait(running)
    assert (done.state, done.error_reason) == (State.CANCELLED, "CANCELLED")
    assert (edition(bench), bench.store.numbers()) == (0, ())
    assert bench.run().state is State.SUCCEEDED, "the next job runs"


def test_an_edit_retired_while_the_job_runs_is_not_in_the_edition(opened: Open) -> None:
    gate = Gate("gating")
    bench = opened(on_stage=gate)
    edits = bench.add(2)
    running = bench.consolidator.submit(bench.request())
    assert gate.reached.wait(60)
    bench.memory.retire(edits[0].id)
    gate.go_on.set()
    done = bench.wait(running)
    assert (done.state, done.edition) == (State.SUCCEEDED, 1)
    assert [held.edit_id for held in bench.store.record(1).edits] == [edits[1].id]
    assert state_of(bench, edits[0]) is EditState.RETIRED


def test_a_memory_that_never_holds_still_is_told_so(opened: Open) -> None:
    def on_stage(stage: str) -> None:
        if stage == "gating":
            edit = bench.memory.list_edits().edits[0]
            bench.memory.retire(edit.id)

    bench = opened(on_stage=on_stage)
    bench.add(5)
    done = bench.run()
    assert done.state is State.FAILED
    assert "retired or changed" in done.error
    assert edition(bench) == 0


def test_a_retired_edit_takes_the_namespace_back_and_a_new_edition_is_made(opened: Open) -> None:
    bench = opened(rebuild=True)
    edits = bench.add(3)
    bench.run()
    assert edition(bench) == 1
    took = {held.edit_id for held in bench.store.record(1).took}
    retired = next(edit for edit in edits if edit.id in took)
    bench.memory.retire(retired.id)
    with bench.operations._changed:
        bench.operations._changed.wait_for(lambda: len(bench.operations.all()) == 2, 60)
    done = bench.wait(bench.operations.all()[0])
    assert (done.state, done.edition) == (State.SUCCEEDED, 2)
    assert retired.id not in {held.edit_id for held in bench.store.record(2).edits}
    assert edition(bench) == 2


def test_a_full_disk_is_a_failed_operation_and_nothing_else(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened()
    bench.add(1)
    write = files.write_durably

    def full(path: Path, content: bytes) -> None:
        if path.name == "matrices.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr("runtime.consolidation.store.write_durably", full)
    done = bench.run()
    assert (done.state, done.error_reason) == (State.FAILED, "STORAGE_FULL")
    assert "No space left" in done.error
    assert (edition(bench), bench.store.numbers()) == (0, ())
    monkeypatch.undo()
    assert bench.run().state is State.SUCCEEDED


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_kill_in_any_stage_is_resumed_to_the_same_end(
    opened: Open, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that ends where it stands, with every file as it is, is what kill -9 leaves."""
    killed = threading.Event()

    def kill_in_child(name: str) -> None:
        if name == stage and not killed.is_set():
            killed.set()
            raise Killed

    enter = Stages._enter

    def kill_in_parent(self: Stages, name: str, entered: Stage) -> None:
        enter(self, name, entered)
        kill_in_child(entered.value)

    monkeypatch.setattr(Stages, "_enter", kill_in_parent)
    bench = opened(on_stage=kill_in_child)
    before = bench.base_bits()
    edits = bench.add(2)
    begun = bench.consolidator.submit(bench.request())
    assert killed.wait(60)
    bench.consolidator._thread.join(60)
    assert edition(bench) == 0
    assert bench.store.numbers() == ((1,) if stage == "activating" else ())
    bench.close()
    again = opened()
    done = again.wait(begun)
    assert (done.state, done.edition, done.activated) == (State.SUCCEEDED, 1, True)
    assert done.restarts == 1
    assert edition(again) == 1
    assert [held.edit_id for held in again.store.record(1).edits] == [edit.id for edit in edits]
    assert before == again.base_bits()
    assert again.store.numbers() == (1,)


def test_a_closed_server_leaves_its_job_to_the_next_one(opened: Open) -> None:
    gate = Gate("targets")
    bench = opened(on_stage=gate)
    bench.add(1)
    begun = bench.consolidator.submit(bench.request())
    assert gate.reached.wait(60)
    closing = threading.Thread(target=bench.consolidator.close)
    closing.start()
    assert bench.consolidator._stop.wait(60)
    gate.go_on.set()
    closing.join(60)
    assert bench.operations.get(begun.id).state is State.RUNNING
    bench.close()
    assert opened().wait(begun).state is State.SUCCEEDED


def test_operations_survive_their_bytes(tmp_path: Path, opened: Open) -> None:
    bench = opened()
    bench.add(1)
    done = bench.run(edit_filter=EditFilter(labels=(), created_after_s=1.0), request_id="r")
    store = OperationStore(tmp_path / "data" / "operations", clock=lambda: 0.0)
    again = store.get(done.id)
    assert replace(done, updated_at_s=0) == replace(again, updated_at_s=0)
    (tmp_path / "data" / "operations" / "noise.json").write_text("{")
    assert len(OperationStore(tmp_path / "data" / "operations", clock=lambda: 0.0).all()) == 1


def test_the_paraphrases_of_labels_reach_the_editor(opened: Open) -> None:
    seen: list[tuple[str, ...]] = []

    class Curious(ReadoutEditor):
        def compute(self, facts: Any, progress: Any) -> Any:
            seen.extend(fact.paraphrases for fact in facts)
            return super().compute(facts, progress)

    bench = opened(editors={"curious": Curious})
    edit = bench.add(1)[0]
    from memory.writes import EditChanges

    labels = (("paraphrase", "Person 0 speaks"), ("paraphrase-2", "Nobody speaks"))
    bench.memory.update(edit.id, EditChanges(labels=labels))
    done: Operation = bench.run()
    assert done.state is State.SUCCEEDED
    assert seen == [("Person 0 speaks",)]
