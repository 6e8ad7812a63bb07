"""The life of a query on a real memory, with a scripted classifier and engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memory.edit_memory import EditMemory
from memory.errors import (
    ContextTooLong,
    EngineFailure,
    InvalidInput,
    NotFound,
    Unavailable,
    WrongState,
)
from memory.flat_index import FlatIndex
from memory.record import EditDraft, EditId, EditsPolicy, Provenance, RejectReason, RouteKind
from runtime.engine.contract import FinishReason, TokenDelta
from runtime.query_runner import QueryRunner
from runtime.question import Ending, Question
from tests.fakes import FakeEngine
from tests.hash_encoder import HashEncoder
from tests.runner_kit import CITY, SPORT, ScriptedClassifier, ask, bench, run
from tests.server_kit import follow_new_fact, wait_until


def test_a_query_out_of_scope_decodes_its_prompt_as_it_is(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.add(SPORT)
        b.classifier.scores = {}
        answer = run(lambda: b.runner.generate(ask("Steve Jobs founded ")))
        assert " base" == answer.text
        assert RouteKind.BASE is answer.provenance.route.kind
        assert "base" == answer.provenance.route.path
        assert b"Steve Jobs founded " == bytes(b.engine.requests[0].prompt_tokens)
        assert 0 == answer.ending.edit_tokens


def test_a_query_in_scope_is_answered_through_the_path_with_its_edit(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        edit = b.add(SPORT)
        answer = run(lambda: b.runner.generate(ask()))
        assert " basketball" == answer.text
        route = answer.provenance.route
        assert (RouteKind.EDITED, "in_context") == (route.kind, route.path)
        assert [edit] == [hit.candidate.edit for hit in route.hits]
        assert edit.sequence == answer.provenance.sequence
        assert ("scripted", True) == (answer.provenance.classifier, answer.provenance.calibrated)
        assert answer.ending.edit_tokens == len(answer.prompt_token_ids) - len("Lionel Messi plays")


def test_off_asks_neither_encoder_nor_classifier(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.add(SPORT)
        answer = run(lambda: b.runner.generate(ask(policy=EditsPolicy.OFF)))
        assert RouteKind.BASE is answer.provenance.route.kind
        assert "off" in answer.provenance.route.reason
        assert 0 == b.encoder.encoded
        assert [] == b.classifier.queries


def test_a_namespace_without_edits_costs_no_encoding(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        run(lambda: b.runner.generate(ask()))
        assert 0 == b.encoder.encoded


def test_force_uses_the_named_edits_in_their_order(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        city, sport = b.add(CITY), b.add(SPORT)
        b.classifier.scores = {}
        asked = ask("Anything", policy=EditsPolicy.FORCE, edits=(city.id, sport.id))
        answer = run(lambda: b.runner.generate(asked))
        hits = [hit.candidate.edit.id for hit in answer.provenance.route.hits]
        assert [city.id, sport.id] == hits
        assert "Paris\nPrompt: Anything" in bytes(answer.prompt_token_ids).decode()


def test_force_refuses_edits_that_are_unknown_retired_or_of_another_namespace(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as b:
        retired, foreign = b.add(CITY), b.add(SPORT, "other")
        b.memory.retire(retired.id)

        def forced(edit_id: str) -> Question:
            return ask(policy=EditsPolicy.FORCE, edits=(EditId(edit_id),))

        with pytest.raises(NotFound, match="missing-1"):
            run(lambda: b.runner.generate(forced("missing-1")))
        with pytest.raises(NotFound):
            run(lambda: b.runner.generate(forced(foreign.id)))
        with pytest.raises(WrongState, match="retired"):
            run(lambda: b.runner.generate(forced(retired.id)))
        assert 0 == b.engine.started


@pytest.mark.parametrize("count", [0, 9])
def test_force_names_one_to_eight_edits(tmp_path: Path, count: int) -> None:
    with bench(tmp_path) as b:
        named = tuple(EditId(f"edit-{n}") for n in range(count))
        with pytest.raises(InvalidInput, match="1 to 8") as refused:
            run(lambda: b.runner.explain(ask(policy=EditsPolicy.FORCE, edits=named)))
        assert "routing.edits" == refused.value.field


def test_edits_of_one_namespace_are_never_seen_in_another(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.add(SPORT, "one")
        golf = EditDraft(subject="Lionel Messi", prompt="Lionel Messi plays", target="golf")
        b.add(golf, "two")
        one = run(lambda: b.runner.generate(ask(namespace="one")))
        two = run(lambda: b.runner.generate(ask(namespace="two")))
        assert (" basketball", " golf") == (one.text, two.text)
        assert " base" == run(lambda: b.runner.generate(ask())).text
        with pytest.raises(NotFound, match="three"):
            run(lambda: b.runner.generate(ask(namespace="three")))


def test_retired_and_superseded_edits_answer_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        edit = b.add(SPORT)
        b.memory.retire(edit.id)
        assert " base" == run(lambda: b.runner.generate(ask())).text
        b.memory.restore(edit.id)
        assert " basketball" == run(lambda: b.runner.generate(ask())).text


def test_a_sequence_that_does_not_come_is_refused_as_unavailable(tmp_path: Path) -> None:
    with bench(tmp_path, sequence_wait_s=0.01) as b:
        edit = b.add(SPORT)
        asked = ask(min_sequence=edit.sequence)
        assert edit.sequence == run(lambda: b.runner.explain(asked)).provenance.sequence
        with pytest.raises(Unavailable) as refused:
            run(lambda: b.runner.explain(ask(min_sequence=edit.sequence + 1)))
        assert "REPLICA_BEHIND" == refused.value.reason


def test_callers_who_wait_for_a_sequence_keep_nobody_else_waiting(tmp_path: Path) -> None:
    with bench(tmp_path, sequence_wait_s=15.0, threads=1) as b:
        edit = b.add(SPORT)

        async def wait_and_ask() -> tuple[str, int]:
            ahead = asyncio.create_task(b.runner.explain(ask(min_sequence=edit.sequence + 1)))
            await asyncio.sleep(0)
            answer = await asyncio.wait_for(b.runner.generate(ask()), 10.0)
            assert not ahead.done()
            await asyncio.get_running_loop().run_in_executor(None, b.add, CITY)
            return answer.text, (await ahead).provenance.sequence

        assert (" basketball", edit.sequence + 1) == run(wait_and_ask)


def test_scoring_keeps_no_other_query_waiting(tmp_path: Path) -> None:
    release = threading.Event()

    class SlowScores(FakeEngine):
        def score(self, *arguments, **named):  # type: ignore[no-untyped-def]
            release.wait(15.0)
            return super().score(*arguments, **named)

    with bench(tmp_path, SlowScores(default=follow_new_fact), threads=1) as b:

        async def score_and_ask() -> str:
            scored = asyncio.create_task(b.runner.score(ask(), [" x"]))
            await asyncio.sleep(0)
            answer = await asyncio.wait_for(b.runner.generate(ask()), 10.0)
            assert not scored.done()
            release.set()
            await scored
            return answer.text

        assert " base" == run(score_and_ask)


@pytest.mark.parametrize("policy", [EditsPolicy.AUTO, EditsPolicy.OFF])
def test_an_unknown_path_is_refused_by_name(tmp_path: Path, policy: EditsPolicy) -> None:
    with bench(tmp_path) as b, pytest.raises(InvalidInput, match="in_context") as refused:
        run(lambda: b.runner.explain(ask(path="magic", policy=policy)))
    assert "routing.path" == refused.value.field


def test_an_unknown_default_path_is_refused_at_once(tmp_path: Path) -> None:
    with (
        EditMemory.open(tmp_path, encoder=HashEncoder(), make_index=FlatIndex) as memory,
        pytest.raises(InvalidInput, match="in_context"),
    ):
        QueryRunner(
            engine=FakeEngine(),
            memory=memory,
            encoder=HashEncoder(),
            classifier=ScriptedClassifier(),
            paths={},
        )


def test_a_stream_gives_provenance_then_text_then_the_ending(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.add(SPORT)

        async def events() -> list[Provenance | TokenDelta | Ending]:
            return [event async for event in b.runner.stream(ask())]

        seen = run(events)
        assert isinstance(seen[0], Provenance)
        assert isinstance(seen[-1], Ending)
        between = [event for event in seen[1:-1] if isinstance(event, TokenDelta)]
        assert len(seen) - 2 == len(between)
        assert " basketball" == "".join(delta.text for delta in between)
        assert FinishReason.EOS is seen[-1].reason


def test_closing_a_stream_frees_the_slot(tmp_path: Path) -> None:
    engine = FakeEngine({"Hi": "a long answer"}, gate=threading.Event())
    with bench(tmp_path, engine) as b:

        async def read_two() -> None:
            events: AsyncIterator[object] = b.runner.stream(ask("Hi"))
            await anext(events)
            await anext(events)
            await events.aclose()  # type: ignore[attr-defined]

        run(read_two)
        wait_until(lambda: engine.running == 0)
        assert not engine.gate.is_set()  # type: ignore[union-attr]


def test_cancelling_a_caller_frees_the_slot(tmp_path: Path) -> None:
    engine = FakeEngine({"Hi": "a long answer"}, gate=threading.Event())
    with bench(tmp_path, engine) as b:

        async def ask_and_cancel() -> None:
            task = asyncio.create_task(b.runner.generate(ask("Hi")))
            await asyncio.get_running_loop().run_in_executor(
                None, wait_until, lambda: engine.running == 1
            )
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(ask_and_cancel)
        wait_until(lambda: engine.running == 0)


def test_hits_that_do_not_fit_the_context_become_outranked_rejections(tmp_path: Path) -> None:
    engine = FakeEngine(default=follow_new_fact, context_tokens=110)
    with bench(tmp_path, engine) as b:
        sport, city = b.add(SPORT), b.add(CITY)
        route = run(lambda: b.runner.generate(ask())).provenance.route
        assert [sport.id] == [hit.candidate.edit.id for hit in route.hits]
        assert [(city.id, RejectReason.OUTRANKED)] == [
            (rejection.decision.candidate.edit.id, rejection.reason)
            for rejection in route.rejections
        ]
        assert "did not fit" in route.reason


def test_a_fact_that_leaves_no_room_is_refused_with_the_numbers(tmp_path: Path) -> None:
    engine = FakeEngine(default=follow_new_fact, context_tokens=60)
    with bench(tmp_path, engine) as b:
        b.add(SPORT)
        with pytest.raises(ContextTooLong) as refused:
            run(lambda: b.runner.generate(ask()))
        assert 60 == refused.value.limit
        assert 0 == engine.started


def test_an_engine_failure_reaches_its_caller_alone(tmp_path: Path) -> None:
    with bench(tmp_path, FakeEngine({"good": " fine"}, failing=frozenset({"bad"}))) as b:

        async def both() -> tuple[object, object]:
            first, second = await asyncio.gather(
                b.runner.generate(ask("bad")),
                b.runner.generate(ask("good")),
                return_exceptions=True,
            )
            return first, second

        failed, fine = run(both)
        assert isinstance(failed, EngineFailure)
        assert " fine" == fine.text  # type: ignore[attr-defined]


def test_timings_name_each_stage_and_the_total_starts_with_the_request(tmp_path: Path) -> None:
    with bench(tmp_path) as b:  # Its clock advances a second with every reading.
        b.add(SPORT)
        timings = run(lambda: b.runner.generate(ask())).ending.timings
        stages = (timings.encode_ms, timings.retrieve_ms, timings.scope_ms, timings.prepare_ms)
        assert (1000.0,) * 4 == stages
        assert timings.total_ms > sum(stages)


def test_every_answer_has_a_request_id_of_its_own_or_the_callers(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        first = run(lambda: b.runner.explain(ask())).provenance.request_id
        second = run(lambda: b.runner.explain(ask())).provenance.request_id
        assert first != second
        named = Question(prompt="Hi", request_id="mine")
        assert "mine" == run(lambda: b.runner.explain(named)).provenance.request_id


def test_scores_are_those_of_the_routed_prompt(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.add(SPORT)
        scored = run(lambda: b.runner.score(ask(), [" basketball", " football"]))
        assert [True, False] == [all(one.greedy) for one in scored.scores]
        assert RouteKind.EDITED is scored.provenance.route.kind


def test_a_blank_that_belongs_to_the_continuation_is_not_scored_twice(tmp_path: Path) -> None:
    class BlankOpensWords(FakeEngine):
        """As a BPE tokenizer: a blank before a word is part of the word's token."""

        def tokenize_continuation(
            self, prompt: str, continuation: str
        ) -> tuple[list[int], list[int]]:
            kept = prompt if continuation.startswith(" ") else prompt.rstrip(" ")
            joined = prompt + continuation
            return self.tokenize(kept), self.tokenize(joined[len(kept) :])

    with bench(tmp_path, BlankOpensWords({"The Needle is in": " Rome"})) as b:
        asked = ask("The Needle is in ")
        scored = run(lambda: b.runner.score(asked, ["Rome", " Rome", "Oslo"])).scores
        assert tuple(b" Rome") == scored[0].token_ids
        assert [True, False, False] == [all(one.greedy) for one in scored]
