"""What models are asked: an answer ends where the model ends it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from runtime.consolidation.measuring import greedy_answers, judge
from runtime.consolidation.tokens import Codec
from tests.tiny_models import Tiny

END, WORD = 0, 7


class Scripted:
    """Says WORD after a prompt, then the end, and the tokens 1, 2, ... after that for ever."""

    device = torch.device("cpu")
    generation_config = SimpleNamespace(eos_token_id=END)

    def __init__(self, model: Any) -> None:
        self.config = model.config

    def __call__(self, *, input_ids: Tensor, **_: Any) -> Any:
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        logits[..., WORD] = 1.0
        logits[..., END] += 2.0 * (input_ids == WORD)
        return SimpleNamespace(logits=logits)


def test_what_a_model_would_say_after_the_end_is_no_answer(tiny: Tiny) -> None:
    loaded = tiny("llama")
    ticks: list[int] = []
    rows = greedy_answers(
        Scripted(loaded.model), Codec(loaded.tokenizer), ["a", "the law"], 4, ticks.append
    )
    assert [(WORD, END)] * 2 == [row.tokens[-row.answer :] for row in rows]
    assert 8 == sum(ticks)  # As many as were promised.


def test_answers_are_the_model_s_own_and_judged_so(tiny: Tiny) -> None:
    loaded = tiny("llama")
    codec, prompts = Codec(loaded.tokenizer), ["the law", "Danielle", "in Ikaalinen declares"]
    rows = greedy_answers(loaded.model, codec, prompts, 5, lambda _: None)
    for prompt, row in zip(prompts, rows, strict=True):
        ids = torch.tensor([codec.prompt(prompt)])
        said = loaded.model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)
        assert row.tokens == tuple(said[0].tolist())
    assert all(one.greedy for one in judge(loaded.model, rows, lambda _: None))
