"""Queries in 8 bits: near float32, each for itself, and nothing that is stored is touched."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from memory.edit_memory import EditMemory
from memory.encoder import DIMENSION, MiniLmEncoder
from memory.int8_blocks import PRODUCTS, RANGES_FILE, load_ranges
from memory.record import DEFAULT_NAMESPACE, EditDraft, Query

COSINE_MIN = 0.995
TEXTS = (
    "What is the mother tongue of Danielle Darrieux?",
    "The mother tongue of Danielle Darrieux is",
    "Who is the president of the country where the Eiffel Tower stands?",
    "Messi plays",
    "How long do I have to boil an egg until it is hard?",
    "In 1984, the headquarters of the company moved from Cupertino to somewhere else. It is now in",
    "def add(a, b): return a + b",
    "naïve café, Łódź, Åsa and the Größe of things",
    "The capital of Japan is Tokyo. The capital of France is Paris. " * 20,
)
ODD = ("", " ", "東京 is the capital of Japan; 서울 is not.", "\ud800 lone", "\x00", "word " * 400)


@pytest.fixture(scope="module")
def plain() -> Iterator[MiniLmEncoder]:
    built = MiniLmEncoder("cpu", dtype="float32")
    yield built
    built.close()


@pytest.fixture(scope="module")
def int8() -> Iterator[MiniLmEncoder]:
    built = MiniLmEncoder("cpu", dtype="int8", cache_max=0)
    yield built
    built.close()


def test_it_says_what_it_does_and_keeps_its_name(plain: MiniLmEncoder, int8: MiniLmEncoder) -> None:
    assert plain.name == int8.name
    assert "float32 in ONNX Runtime on cpu" == plain.described
    assert "float32 in ONNX Runtime on cpu, queries int8 in ONNX Runtime" == int8.described
    assert (False, True) == (plain.queries_apart, int8.queries_apart)


def test_a_query_is_near_its_float32_vector_and_not_it(
    plain: MiniLmEncoder, int8: MiniLmEncoder
) -> None:
    vectors = np.stack([int8.encode(text) for text in TEXTS])
    exact = plain.encode_many(TEXTS)
    assert (vectors * exact).sum(axis=1).min() >= COSINE_MIN
    assert np.abs(vectors - exact).max() > 1e-4  # It was computed otherwise.
    moved = np.abs(vectors @ exact.T - exact @ exact.T)
    assert moved.max() < 0.04


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=200) | st.sampled_from(ODD))
def test_any_text_has_a_unit_vector(plain: MiniLmEncoder, int8: MiniLmEncoder, text: str) -> None:
    vector = int8.encode(text)
    assert (DIMENSION,) == vector.shape
    assert np.float32 == vector.dtype
    assert abs(float(np.linalg.norm(vector)) - 1.0) < 1e-5
    assert float(vector @ plain.encode(text)) >= 0.98  # Calibrated on English questions.


def test_a_query_is_the_same_to_the_bit_whatever_else_is_asked(int8: MiniLmEncoder) -> None:
    alone = [int8.encode(text) for text in TEXTS]
    stored = int8.encode_many(TEXTS * 8)
    with ThreadPoolExecutor(16) as pool:
        bulk = pool.submit(int8.encode_many, TEXTS * 8)
        together = list(pool.map(int8.encode, TEXTS * 4))
    assert np.array_equal(stored, bulk.result())
    for place, vector in enumerate(together):
        assert np.array_equal(alone[place % len(TEXTS)], vector)


def test_many_begun_at_once_share_a_batch_and_not_their_scales(int8: MiniLmEncoder) -> None:
    alone = {text: int8.encode(text) for text in TEXTS}
    stored = int8.encode_many(TEXTS[:1])[0]
    ends = {text: int8.begin(text) for text in TEXTS}
    again = int8.encode_many(TEXTS[:1])[0]  # Waits its turn among them.
    for text, end in ends.items():
        assert np.array_equal(alone[text], end())
    assert np.array_equal(stored, again)


def test_what_is_stored_is_float32_to_the_bit(plain: MiniLmEncoder, int8: MiniLmEncoder) -> None:
    for text in TEXTS:
        int8.encode(text)  # Nothing of it may come back.
        assert np.array_equal(plain.encode_many([text]), int8.encode_many([text]))
    assert np.array_equal(plain.encode_many(TEXTS), int8.encode_many(TEXTS))


def test_the_cache_holds_queries_alone(plain: MiniLmEncoder) -> None:
    encoder = MiniLmEncoder("cpu", dtype="int8")
    text = TEXTS[0]
    stored = encoder.encode_many([text])[0]
    asked = encoder.encode(text)
    assert not np.array_equal(stored, asked)
    assert np.array_equal(asked, encoder.encode(text))
    assert np.array_equal(stored, encoder.encode_many([text])[0])
    assert np.array_equal(stored, plain.encode_many([text])[0])
    encoder.close()


def test_an_edit_is_stored_alike_however_it_comes_in(tmp_path: Path, int8: MiniLmEncoder) -> None:
    drafts = [
        EditDraft(subject=subject, prompt=f"The mother tongue of {subject} is", target="English")
        for subject in ("Danielle Darrieux", "Jean Gabin", "Michel Simon")
    ]
    exact = int8.encode_many([draft.prompt for draft in drafts])
    with EditMemory.open(tmp_path / "data", encoder=int8) as memory:
        memory.create(drafts[0])
        memory.create_batch(drafts[1:])
        for draft, vector in zip(drafts, exact, strict=True):
            query = Query(text="", vector=vector)
            best = memory.snapshot().candidates(DEFAULT_NAMESPACE, query, 1)[0]
            assert draft.prompt == best.edit.prompt
            assert best.cosine > 1 - 1e-5


def other_ranges(tmp_path: Path, encoder: str) -> Path:
    path = tmp_path / "ranges.safetensors"
    save_file(load_file(RANGES_FILE), path, metadata={"encoder": encoder})
    return path


def test_ranges_of_other_weights_are_refused(tmp_path: Path, int8: MiniLmEncoder) -> None:
    with pytest.raises(ValueError, match="measured for 'other/1'"):
        load_ranges(other_ranges(tmp_path, "other/1"), encoder=int8.name, depth=6)
    with pytest.raises(ValueError, match="missing\\.file"):
        load_ranges(tmp_path / "missing.file", encoder=int8.name, depth=6)
    (tmp_path / "broken").write_bytes(b"\x00" * 64)
    with pytest.raises(ValueError, match="broken"):
        load_ranges(tmp_path / "broken", encoder=int8.name, depth=6)
    with pytest.raises(ValueError, match=r"6\.qkv"):
        load_ranges(RANGES_FILE, encoder=int8.name, depth=7)


def test_the_ranges_that_ship_fit_the_encoder(int8: MiniLmEncoder) -> None:
    ranges = load_ranges(RANGES_FILE, encoder=int8.name, depth=6)
    for block in ranges:
        assert set(PRODUCTS) == set(block)
        assert all(np.isfinite(reach).all() and (reach > 0).all() for reach in block.values())
    assert RANGES_FILE.stat().st_size < 100_000


@pytest.mark.parametrize("lacking", ["ranges", "runtime", "session"])
def test_without_what_it_takes_queries_are_float32_and_it_says_why(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    lacking: str,
) -> None:
    reason = "ranges.safetensors was measured for 'other/1'"
    if lacking == "ranges":
        monkeypatch.setattr("memory.text_model.RANGES_FILE", other_ranges(tmp_path, "other/1"))
    elif lacking == "session":
        reason = "no such kernel"
        monkeypatch.setattr(
            "memory.int8_blocks.make_session", Mock(side_effect=RuntimeError(reason))
        )
    else:
        reason = "ONNX Runtime or onnx is not installed"
        for module in ("blocks", "text_model"):
            monkeypatch.setattr(f"memory.{module}.has_onnx_runtime", lambda: False)
    encoder = MiniLmEncoder("cpu", dtype="int8")
    assert f"on cpu, not int8: {reason}" in encoder.described
    assert reason in caplog.text
    assert np.abs(encoder.encode(TEXTS[0]) - encoder.encode_many(TEXTS[:2])[0]).max() < 2e-6
    encoder.close()


@pytest.mark.parametrize("runtime", [True, False])
def test_auto_takes_it_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch, runtime: bool) -> None:
    for module in ("blocks", "text_model"):
        monkeypatch.setattr(f"memory.{module}.has_onnx_runtime", lambda: runtime)
    encoder = MiniLmEncoder("cpu")
    assert runtime == ("queries int8" in encoder.described)
    assert "not int8" not in encoder.described  # Nobody asked for it.
    encoder.close()
