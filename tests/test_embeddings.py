"""Embeddings with the real MiniLM: what they are, and that nothing is computed twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from pipeline.errors import TrainingError
from pipeline.evidence.embeddings import embed, encode, read_segment, segments_folder
from pipeline.evidence.encoder import (
    encoder_revision,
    load_encoder,
    model_folder,
    padding_id,
    token_batches,
    tokenize,
)
from pipeline.store import Store

TEXTS = [
    "Where is my parcel?",
    "My package has not arrived yet.",
    "The lamp came with a broken shade.",
    "Please cancel my order before it ships, I ordered the wrong colour and would like the green one instead.",
]


def segments(store: Store) -> list[Path]:
    return sorted(segments_folder(store, "minilm", 128).glob("*.safetensors"))


def cached_rows(store: Store) -> int:
    return sum(len(read_segment(segment)[0]) for segment in segments(store))


def test_vectors_have_unit_length_and_like_texts_lie_close(tmp_path: Path) -> None:
    vectors = embed(Store(tmp_path), "minilm", TEXTS)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > max(cosines[0, 2], cosines[0, 3])


def test_a_text_gets_the_vector_of_the_model_run_on_it_alone(tmp_path: Path) -> None:
    import torch

    encoder = load_encoder("minilm")
    vectors = embed(Store(tmp_path), "minilm", TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = torch.tensor([tokenize(encoder, [text])[0]])
        with torch.inference_mode():
            mean = encoder.module(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(dim=0)
        assert np.allclose(vector, (mean / mean.norm()).numpy(), atol=1e-6)


def test_the_tokenizer_s_own_padding_to_128_is_switched_off() -> None:
    assert len(tokenize(load_encoder("minilm"), ["Where is my parcel?"])[0]) == 7


def test_only_unseen_texts_are_computed_and_equal_ones_once(tmp_path: Path) -> None:
    store, counted = Store(tmp_path), []
    first = embed(store, "minilm", [*TEXTS[:2], TEXTS[0]])
    assert np.array_equal(first[0], first[2])
    assert cached_rows(store) == 2
    second = embed(store, "minilm", TEXTS, progress=lambda done, total: counted.append((done, total)))
    assert np.array_equal(second[:2], first[:2])
    assert cached_rows(store) == 4
    assert counted[-1] == (2, 2)
    before = segments(store)
    embed(store, "minilm", TEXTS[::-1])
    assert segments(store) == before


def test_blank_texts_are_zero_rows_and_cost_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    vectors = embed(store, "minilm", ["", " \n\t"])
    assert vectors.shape == (2, 384)
    assert not vectors.any()
    assert cached_rows(store) == 0
    assert embed(store, "minilm", []).shape == (0, 384)


def test_a_damaged_segment_is_passed_over_and_its_texts_are_computed_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = embed(store, "minilm", TEXTS)
    (segment,) = segments(store)
    data = bytearray(segment.read_bytes())
    data[-100] ^= 1  # one flipped bit in a vector
    segment.write_bytes(data)
    assert cached_rows(store) == 0
    assert np.array_equal(embed(store, "minilm", TEXTS), whole)
    assert cached_rows(store) == 4


@pytest.mark.parametrize("left", [0, 7, 1000])
def test_half_a_segment_is_no_segment(tmp_path: Path, left: int) -> None:
    store = Store(tmp_path)
    whole = embed(store, "minilm", TEXTS)
    (segment,) = segments(store)
    segment.write_bytes(segment.read_bytes()[:left])
    assert np.array_equal(embed(store, "minilm", TEXTS), whole)


def test_the_cache_can_be_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = embed(store, "minilm", TEXTS)
    shutil.rmtree(tmp_path / "cache")
    assert np.array_equal(embed(store, "minilm", TEXTS), whole)


def test_a_vector_is_the_same_whatever_it_was_computed_with(tmp_path: Path) -> None:
    """Within 1e-6: rounding differs with the shape of the batch (1.5e-7 was seen), and with nothing else."""
    texts = [" ".join(TEXTS[at % 4].split()[: 2 + at]) + f" {at}" for at in range(20)]
    together, alone, reversed_ = (Store(tmp_path / name) for name in ("together", "alone", "reversed"))
    whole = embed(together, "minilm", texts, threads=1)
    for text in texts:
        embed(alone, "minilm", [text], threads=1)
    assert len(segments(alone)) == 20
    assert np.allclose(embed(alone, "minilm", texts, threads=1), whole, atol=1e-6, rtol=0)
    assert np.allclose(embed(reversed_, "minilm", texts[::-1], threads=1)[::-1], whole, atol=1e-6, rtol=0)


def test_what_a_deleted_segment_held_is_computed_again_and_nothing_else(tmp_path: Path) -> None:
    store, counted = Store(tmp_path), []
    embed(store, "minilm", TEXTS[:1])
    (kept,) = segments(store)
    whole = embed(store, "minilm", TEXTS)
    (gone,) = set(segments(store)) - {kept}
    gone.unlink()
    again = embed(store, "minilm", TEXTS, progress=lambda done, total: counted.append((done, total)))
    assert np.allclose(again, whole, atol=1e-6, rtol=0)
    assert counted[-1] == (3, 3)


def test_another_max_length_is_another_cache_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    long, short = (embed(store, "minilm", TEXTS, max_length=limit) for limit in (128, 8))
    assert not np.allclose(long[3], short[3], atol=1e-3)


def test_hostile_texts_are_embedded_like_any_other(tmp_path: Path) -> None:
    hostile = [
        "\ud800 half a pair",
        "a" * 1_000_000,
        "<script>alert(1)</script>",
        "\x00",
        "../../etc/passwd",
        "🦊" * 5000,
    ]
    vectors = embed(Store(tmp_path), "minilm", hostile)
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_of_all_scripts_have_vectors_of_their_own(tmp_path: Path) -> None:
    texts = [
        "Où est mon colis ?",
        "¿Dónde está mi paquete?",
        "我的包裹在哪里？",
        "где моя посылка",
        "أين طردي",
        "cafe\u0301",
        "❤️",
    ]
    vectors = embed(Store(tmp_path), "minilm", texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(vectors.round(4), axis=0)) == len(texts)


def test_the_revision_is_that_of_the_content(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder("minilm"), copy)
    assert encoder_revision(str(copy)) == encoder_revision("minilm")
    config = copy / "config.json"
    config.write_text(config.read_text().replace("1e-12", "1e-11"))
    assert encoder_revision(str(copy)) != encoder_revision("minilm")


def replaced(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """MiniLM's folder by links, but for one file."""
    folder.mkdir()
    for file in model_folder("minilm").iterdir():
        if file.is_file() and file.name != name:
            (folder / file.name).symlink_to(file)
    (folder / name).write_bytes(change((model_folder("minilm") / name).read_bytes()))
    return folder


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", lambda data: data[: len(data) // 2]),
        ("model.safetensors", lambda data: b""),
        ("tokenizer.json", lambda data: data[: len(data) // 2]),
        ("tokenizer.json", lambda data: b"{}"),
        ("config.json", lambda data: data[:50]),
        ("config.json", lambda data: b"[1]"),
        ("config.json", lambda data: data.replace(b'"hidden_size": 384', b'"hidden_size": 192')),
    ],
)
def test_a_damaged_model_is_one_clear_sentence(tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    folder = replaced(tmp_path / "model", name, change)
    with pytest.raises(TrainingError, match="cannot be loaded") as caught:
        load_encoder(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there_are_not_made_up(tmp_path: Path) -> None:
    """transformers would start them at random and go on: other embeddings in every process."""
    from safetensors.numpy import load, save

    def half(data: bytes) -> bytes:
        return save({name: weights for name, weights in load(data).items() if "layer.5" not in name})

    with pytest.raises(TrainingError, match=r"lacks 16 of its weights, such as encoder\.layer\.5"):
        load_encoder(str(replaced(tmp_path / "model", "model.safetensors", half)))


def test_a_model_without_the_pooler_that_nobody_reads_is_taken(tmp_path: Path) -> None:
    from safetensors.numpy import load, save

    def headless(data: bytes) -> bytes:
        return save({name: weights for name, weights in load(data).items() if "pooler" not in name})

    folder = replaced(tmp_path / "model", "model.safetensors", headless)
    one, other = (embed(Store(tmp_path / "store"), model, TEXTS, threads=1) for model in ("minilm", str(folder)))
    assert np.array_equal(one, other)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    def own_class(data: bytes) -> bytes:
        return orjson.dumps(
            orjson.loads(data) | {"model_type": "strange", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
        )

    folder = replaced(tmp_path / "model", "config.json", own_class)
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(TrainingError, match="cannot be loaded"):
        load_encoder(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_text_of_which_the_tokenizer_leaves_nothing_still_has_a_finite_vector() -> None:
    """Some models' tokenizers put nothing around a text; MiniLM's would never be at a loss."""
    encoder = load_encoder("minilm")
    encoder.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B")
    assert tokenize(encoder, ["\u200b"]) == [[padding_id(encoder)]]
    vectors = encode(encoder, ["\u200b", "Where is my parcel?"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(TrainingError, match="safetensors"):
        encoder_revision(str(tmp_path))


@pytest.mark.parametrize("name", ["nobody/no-such-model", "../nowhere", "not a name"])
def test_a_model_that_cannot_be_had_is_one_clear_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # also where there is a network
    with pytest.raises(TrainingError, match="minilm") as caught:
        load_encoder(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_max_length_beyond_the_model_is_refused() -> None:
    with pytest.raises(TrainingError, match="between 8 and 512"):
        load_encoder("minilm", max_length=1024)


@given(st.lists(st.integers(1, 128), max_size=60), st.integers(1, 600))
def test_token_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    assert sorted(int(index) for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    longest = [max(lengths[index] for index in batch) for batch in batches]
    assert longest == sorted(longest)
