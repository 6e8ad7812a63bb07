"""An edition that exists is not made again: found by what it was made from, and only when sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from memory.record import DEFAULT_NAMESPACE, EditId
from memory.writes import EditChanges
from runtime.consolidation import reuse
from runtime.consolidation.contract import Fact
from runtime.consolidation.operations import Operation, State
from runtime.consolidation.reuse import inputs_of, sources_of
from runtime.consolidation.spec import GateLimits, JobSpec
from runtime.engine.load import LoadedModel
from tests.consolidation_kit import OPEN_GATE, QUICK, Bench, InProcessWorker, load_tiny
from tests.tiny_models import save_tiny_model

Open = Callable[..., Bench]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(save_tiny_model(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.fixture
def opened(tmp_path: Path, loaded: LoadedModel) -> Iterator[Open]:
    benches: list[Bench] = []

    def make(**more: object) -> Bench:
        benches.append(Bench(tmp_path, loaded, **more))  # type: ignore[arg-type]
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def runs(bench: Bench) -> int:
    assert isinstance(bench.worker, InProcessWorker)
    return bench.worker.runs


def rebuilt(bench: Bench, jobs: int) -> Operation:
    """Waits for the job that the bench begins by itself."""
    changed = bench.operations._changed
    with changed:
        assert changed.wait_for(lambda: len(bench.operations.all()) == jobs, 60)
    return bench.wait(bench.operations.all()[0])


def test_a_rebuild_uses_the_edition_that_holds_just_these_edits(opened: Open) -> None:
    bench = opened(rebuild=True)
    bench.add(2)
    bench.run()
    more = bench.add(1)
    bench.run()
    assert (bench.store.numbers(), runs(bench)) == ((1, 2), 2)
    bench.memory.retire(more[0].id)
    done = rebuilt(bench, jobs=3)
    assert (done.state, done.edition, done.reused) == (State.SUCCEEDED, 1, True)
    assert (bench.store.numbers(), runs(bench)) == ((1, 2), 2)
    assert bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
    assert done.measures == bench.store.record(1).measures


def test_an_edition_that_was_left_for_the_base_is_activated_again(opened: Open) -> None:
    bench = opened()
    edits = bench.add(2)
    first = bench.run()
    assert not first.reused
    bench.memory.retire(edits[0].id)
    assert bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 0
    bench.memory.restore(edits[0].id)
    again = bench.run()
    assert (again.edition, again.reused, again.activated) == (1, True, True)
    assert bench.memory.snapshot().edition(DEFAULT_NAMESPACE) == 1
    assert runs(bench) == 1


def test_another_saying_another_setting_or_a_damaged_file_is_computed(opened: Open) -> None:
    bench = opened()
    edits = bench.add(2)
    bench.run()
    assert bench.run(settings={**QUICK, "covariance_weight": 2.0}).edition == 2
    bench.memory.update(edits[0].id, EditChanges(target="Finnish"))
    assert bench.run().edition == 3
    assert bench.run().reused
    matrices = bench.store.path(3) / "matrices.safetensors"
    matrices.write_bytes(matrices.read_bytes()[:-1] + b"?")
    done = bench.run()
    assert (done.edition, done.reused) == (4, False)
    assert runs(bench) == 4


def test_another_running_text_in_the_same_file_is_computed(opened: Open) -> None:
    bench = opened()
    bench.add(2)
    bench.run()
    corpus = bench.folder / "corpus.txt"
    text = corpus.read_text("utf-8")
    corpus.write_text(f"{text}\nAnother text runs here.\n", "utf-8")
    assert (bench.run().edition, bench.run().edition) == (2, 2)
    corpus.write_text(text, "utf-8")
    assert bench.run().edition == 1
    assert runs(bench) == 2


def test_another_gate_asks_again(opened: Open) -> None:
    bench = opened()
    bench.add(2)
    bench.run()
    bench.close()
    strict = opened(gate=replace(OPEN_GATE, harm_nats_max=1e8))
    assert strict.run().edition == 2


def test_the_code_of_the_editors_is_an_input(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "memit.py").write_text("weight = 1\n", "utf-8")
    first = sources_of(code)
    (code / "memit.py").write_text("weight = 2\n", "utf-8")
    second = sources_of(code)
    (code / "memit.py").rename(code / "rome.py")
    assert len({first, second, sources_of(code), sources_of(tmp_path / "none")}) == 4
    bench = opened()
    bench.add(2)
    bench.run()
    monkeypatch.setattr(reuse, "sources_of", lambda _: second)
    assert (bench.run().edition, bench.run().edition) == (2, 2)


def test_what_changes_nothing_of_an_edition_is_no_input() -> None:
    fact = Fact(
        edit_id=EditId("a"), revision=1, subject="Messi", prompt="Messi plays", target="chess"
    )
    spec = JobSpec(
        job="one",
        namespace="default",
        editor="memit",
        settings={"layers": [3]},
        facts=(fact,),
        former=(),
        model="/here",
        fingerprint="f",
        dtype="fp32",
        device="cpu",
        threads=1,
        niceness=19,
        memory_bytes=0,
        cache="/cache",
    )
    idle = replace(spec, job="two", former=("a",), threads=4, memory_bytes=9, cache="/elsewhere")
    assert inputs_of(spec) == inputs_of(replace(idle, facts=(replace(fact, revision=7),)))
    telling = [
        replace(spec, namespace="other"),
        replace(spec, editor="rome"),
        replace(spec, settings={"layers": [4]}),
        replace(spec, fingerprint="g"),
        replace(spec, gate=GateLimits(took_min=0.9)),
        replace(spec, facts=(replace(fact, target="golf"),)),
        replace(spec, facts=(replace(fact, paraphrases=("Lionel Messi plays",)),)),
    ]
    assert len({inputs_of(one) for one in [spec, *telling]}) == len(telling) + 1
