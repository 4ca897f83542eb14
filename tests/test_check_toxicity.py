"""A text classifier in a folder on this machine is asked; without one the check says how to name one."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora import annotations_table, corpus, examples_table

from pipeline.errors import TrainingError
from validators.check import Skip
from validators.toxicity import toxicity


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT whose answer hangs on one word: its embedding is large, and the head reads it."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("classifier")
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "awful": 2, "fine": 3}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=128, id2label={0: "neutral", 1: "toxic"}, label2id={"neutral": 0, "toxic": 1},
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        ids = torch.tensor([[2], [3]])
        pooled = model.bert(input_ids=ids).pooler_output
        apart = pooled[0] - pooled[1]
        model.classifier.weight[1] = apart / (apart @ apart) * 12
        model.classifier.weight[0] = 0
        model.classifier.bias[:] = torch.tensor([0.0, float(-(model.classifier.weight[1] @ (pooled[0] + pooled[1])) / 2)])
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def test_without_a_model_the_check_says_how_to_name_one() -> None:
    with pytest.raises(Skip, match=r"checks: toxicity: model in project\.yaml"):
        toxicity.run(corpus(examples_table(["x"]), annotations_table([])))


def test_toxic_texts_are_flagged_and_a_group_that_is_hit_harder_is_named(classifier: Path) -> None:
    texts = ["awful"] * 40 + ["fine"] * 60 + ["fine"] * 99 + [""]
    made = corpus(examples_table(texts, {"region": ["n"] * 100 + ["s"] * 100}), annotations_table([]), slices=("region",))
    report = toxicity.run(made, model=str(classifier))
    flagged = report.findings[report.findings["flagged"]]
    assert set(flagged["subject_id"].astype(int)) == set(range(1, 41))
    assert [(row["group"], row["flagged"]) for row in report.facts["groups"]] == [("n", True), ("s", False)]
    assert report.facts["share"] == pytest.approx(0.2)


def test_an_unknown_label_and_weights_that_would_have_to_be_unpickled_are_refused(classifier: Path, tmp_path: Path) -> None:
    made = corpus(examples_table(["x"]), annotations_table([]))
    with pytest.raises(TrainingError, match="toxic"):
        toxicity.run(made, model=str(classifier), label="rude")
    (tmp_path / "config.json").write_text((classifier / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(TrainingError, match="safetensors"):
        toxicity.run(made, model=str(tmp_path))
