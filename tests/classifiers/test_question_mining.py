"""Patterns are what questions of one relation share; names are what varies."""

from __future__ import annotations

from pathlib import Path

from classifiers.question_mining import mine_patterns, read_questions


def test_a_pattern_is_what_questions_of_a_relation_share() -> None:
    names = ("ada lovelace", "alan turing", "kurt godel")
    questions = [("P19", f"Where was {name} born?") for name in names]
    assert mine_patterns(questions) == {"P19": ("where was {} born",)}


def test_a_pattern_that_fits_several_relations_tells_none() -> None:
    names = ("ada", "alan", "kurt", "emmy")
    shared = [(relation, f"tell about {name}") for relation in ("P19", "P20") for name in names]
    assert mine_patterns(shared) == {}


def test_a_name_never_swallows_the_question() -> None:
    questions = [("P20", f"where did {name} die") for name in ("ada", "alan", "kurt")]
    assert mine_patterns(questions) == {"P20": ("where did {} die",)}


def test_lines_that_are_no_question_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("Q1\tP19\tQ2\twhere was ada born\nbroken line\n", encoding="utf-8")
    assert read_questions(path) == [("P19", "where was ada born")]
