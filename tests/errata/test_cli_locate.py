"""`errata locate`: any folder to stand in, a subject that the prompt names, one table a kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import build
from tests.cli_kit import run_command
from tests.tiny_models import save_tiny_model

FEW = ("--samples", "1")


def test_a_fact_is_traced_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "repository" / "pocket"
    save_tiny_model(bundle / "base", "llama")
    monkeypatch.setattr(build, "BUNDLE", bundle)
    monkeypatch.chdir(tmp_path)
    marked = run_command("locate", "{Messi} plays", *FEW, "--json")
    assert 0 == marked.code, marked.err
    assert {"state", "mlp", "attention"} == marked.record["scores"].keys()
    given = run_command("locate", "Messi plays", "--subject", "Messi", *FEW, "--json")
    assert marked.record == given.record


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Messi plays",), "What is the fact about?"),
        (("Messi plays", "--subject", "Ronaldo"), 'does not name the subject "Ronaldo"'),
        (("{Messi} plays", "--subject", "Ronaldo"), "give one"),
        (("{Messi} {plays}",), "2 parts are in braces"),
        (("{Messi} plays", "--out", "map.gif"), "ends in .svg or .png"),
    ],
)
def test_what_cannot_be_traced_is_refused_before_a_model_is_loaded(
    arguments: tuple[str, ...], said: str
) -> None:
    ran = run_command("locate", *arguments, "--model", "/nowhere")
    assert 2 == ran.code
    assert said in ran.err
