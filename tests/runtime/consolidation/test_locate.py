"""Causal tracing restores what it says, batched as one by one, and finds a planted place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from memory.errors import ConsolidationFailed, InvalidInput
from runtime.consolidation import locate
from runtime.consolidation.locate import ROLES, Kind, Locator, by_role, peak
from runtime.consolidation.trace import hooked, trace
from runtime.sites import FAMILIES, sites_of
from tests.tiny_models import Tiny

PROMPT, SUBJECT = "The law in Ikaalinen declares", "Ikaalinen"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_restoring_the_last_state_of_the_last_token_is_the_clean_run(
    tiny: Tiny, family: str
) -> None:
    loaded = tiny(family)
    found = Locator(loaded.model, loaded.tokenizer, samples=2).trace(PROMPT, SUBJECT)
    states = found.scores[Kind.STATE]
    assert (len(found.tokens), 2) == states.shape
    assert float(states[-1, -1]) == pytest.approx(found.clean, abs=1e-4)
    # What stands before the subject never saw the noise, in any part of any block.
    for scores in found.scores.values():
        before = scores[: found.subject.start]
        assert torch.allclose(before, torch.full_like(before, found.corrupted), atol=1e-5)
    assert "".join(found.tokens[i] for i in found.subject).strip().startswith(SUBJECT)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_cell_equals_a_restoration_by_hand(tiny: Tiny, kind: Kind) -> None:
    loaded = tiny("llama")
    model, sites = loaded.model, sites_of(loaded.model)
    locator = Locator(model, loaded.tokenizer, samples=3, seed=5)
    found = locator.trace(PROMPT, SUBJECT, window=1)
    site = {Kind.STATE: sites.block, Kind.MLP: sites.mlp_out, Kind.ATTENTION: sites.attention_out}
    name = site[kind](0)
    ids = torch.tensor([loaded.tokenizer(PROMPT)["input_ids"]])
    with torch.no_grad(), trace(model, outputs=[name]) as seen:
        model(ids)
    noise = locator._noise(len(found.subject))
    token, chances = found.subject[-1], []
    for draw in noise:

        def corrupt(output: Tensor, draw: int = draw) -> Tensor:
            output = output.clone()
            output[0, found.subject.start : found.subject.stop] += draw
            return output

        def restore(output: Tensor) -> Tensor:
            output = output.clone()
            output[0, token] = seen.outputs[name][0, token]
            return output

        with torch.no_grad(), hooked(model, outputs={"model.embed_tokens": corrupt, name: restore}):
            last = model(ids).logits[0, -1].softmax(-1)
        chances.append(float(last[model(ids).logits[0, -1].argmax()]))
    assert float(found.scores[kind][token, 0]) == pytest.approx(sum(chances) / 3, abs=1e-5)


def test_the_batch_size_changes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny("gpt2")
    many = Locator(loaded.model, loaded.tokenizer, samples=2).trace(PROMPT, SUBJECT)
    monkeypatch.setattr(locate, "ROWS_MAX", 2)
    alone = Locator(loaded.model, loaded.tokenizer, samples=2).trace(PROMPT, SUBJECT)
    for kind in Kind:
        assert torch.allclose(many.scores[kind], alone.scores[kind], atol=1e-5)


def test_a_wide_window_restores_all_layers(tiny: Tiny) -> None:
    """All MLPs and the noise elsewhere: every layer's column of a full window is the same."""
    loaded = tiny("llama")
    found = Locator(loaded.model, loaded.tokenizer, samples=2).trace(PROMPT, SUBJECT, window=2)
    scores = found.scores[Kind.MLP]
    assert 2 == found.window
    assert torch.isfinite(scores).all()


def test_roles_average_and_peaks_point(tiny: Tiny) -> None:
    loaded = tiny("llama")
    found = Locator(loaded.model, loaded.tokenizer, samples=2).trace(PROMPT, SUBJECT)
    table = by_role([found, found], Kind.STATE)
    assert (len(ROLES), 2) == table.shape
    assert float(table[-1, -1]) == pytest.approx(1.0, abs=1e-3)
    one = peak(torch.tensor([[0.1, 0.2], [0.7, 0.3]]))
    assert (1, 0) == (one.token, one.layer)


def test_wrong_input_is_said(tiny: Tiny) -> None:
    loaded = tiny("llama")
    locator = Locator(loaded.model, loaded.tokenizer)
    with pytest.raises(ConsolidationFailed, match="'Messi' is not in the prompt"):
        locator.trace(PROMPT, "Messi")
    with pytest.raises(InvalidInput, match="window is 3; expected 1 to 2"):
        locator.trace(PROMPT, SUBJECT, window=3)
