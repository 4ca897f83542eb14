"""Real training of MiniLM on a part of the template's sample: what is published, and when nothing is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from flows.place import init
from flows.stages.adapters import train as train_stage
from pipeline.errors import Missing, TrainingError
from pipeline.evidence.embeddings import embed
from pipeline.evidence.encoder import forward, load_encoder, model_folder, padding_id, tokenize
from pipeline.store import Store, sha256
from pipeline.training.loop import temperature
from pipeline.training.methods import METHODS, peft_config
from pipeline.training.predict import adapter_manifest, load_adapter, predict
from pipeline.training.probe import fit_probe, log_loss, softmax
from pipeline.training.settings import Settings, settings_for
from pipeline.training.train import train

SAMPLE = Path(__file__).parent.parent / "annotation_templates" / "text_classification" / "sample.jsonl"
LABELS = ("cancel_order", "damaged_item", "order_status", "return_refund")
LENGTH = 20  # tokens
QUICK = {"epochs": 2, "learning_rate": 4e-3, "max_length": LENGTH}  # quick on a busy machine, not good


def sample_rows(train_rows: int = 80, validation_rows: int = 30) -> pd.DataFrame:
    found = [orjson.loads(line) for line in SAMPLE.read_bytes().splitlines()]
    rows = pd.DataFrame([(item["data"]["text"], item["answer"]) for item in found], columns=["text", "label"])
    rows = rows[rows["label"].isin(LABELS)].sample(train_rows + validation_rows, random_state=0, ignore_index=True)
    rows.insert(0, "example_id", np.arange(len(rows)))
    return rows.assign(split=["train"] * train_rows + ["validation"] * validation_rows)


def held_out(rows: int = 100) -> pd.DataFrame:
    """Rows that are not among the 110 of `sample_rows()`."""
    return sample_rows(110, rows).query("split == 'validation'")


def run(store: Store, rows: pd.DataFrame, **changed: object) -> str:
    given: dict[str, object] = {
        "labels": LABELS, "version": "v1", "labels_from": "cleaned", "settings": QUICK, "threads": 1,
    }  # fmt: skip
    return train(store, rows=rows, **(given | changed))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    store = Store(tmp_path_factory.mktemp("store"))
    return store, run(store, sample_rows())


def test_the_folder_loads_with_plain_peft_and_gives_the_published_answers(trained: tuple[Store, str]) -> None:
    import torch
    from peft import PeftModel
    from safetensors.numpy import load_file
    from transformers import AutoModel

    store, adapter = trained
    folder = store.folder("adapters", adapter)
    texts = sample_rows()["text"].tolist()[:20]
    labels, probabilities = predict(store, adapter, texts, threads=1)
    module = PeftModel.from_pretrained(AutoModel.from_pretrained(model_folder("minilm")), folder).eval()
    encoder, head = load_encoder("minilm", max_length=LENGTH), load_file(folder / "head.safetensors")
    with torch.inference_mode():
        vectors = forward(module, tokenize(encoder, texts), padding_id(encoder)).numpy()
    expected = softmax(vectors @ head["weight"].T + head["bias"])
    assert np.allclose(probabilities, expected, atol=1e-5)
    assert labels == [LABELS[best] for best in expected.argmax(axis=1)]
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_training_moves_the_answers_away_from_the_probe_and_towards_the_labels(
    trained: tuple[Store, str],
) -> None:
    store, adapter = trained
    curve = adapter_manifest(store, adapter)["curve"]
    assert curve[-1]["train_loss"] < curve[1]["train_loss"]
    rows = sample_rows().query("split == 'train'")
    labels, _ = predict(store, adapter, rows["text"].tolist(), threads=1)
    assert (np.array(labels) == rows["label"].to_numpy()).mean() > 0.9


def test_the_adapter_answers_texts_that_it_never_saw_far_better_than_chance(
    trained: tuple[Store, str],
) -> None:
    store, adapter = trained
    rows = held_out()
    assert not set(rows["text"]) & set(sample_rows()["text"])
    labels, _ = predict(store, adapter, rows["text"].tolist(), threads=1)
    assert (np.array(labels) == rows["label"].to_numpy()).mean() > 0.4  # 0.25 by chance, with a standard error of 0.04


def test_the_chosen_epoch_is_never_worse_than_the_probe_on_validation(trained: tuple[Store, str]) -> None:
    store, adapter = trained
    facts = adapter_manifest(store, adapter)
    losses = [epoch["validation_loss"] for epoch in facts["curve"]]
    assert losses[facts["best_epoch"]] == min(losses)


def test_the_published_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    """A far too high rate makes every epoch worse than the probe: then the probe's own answers must come out."""
    store, rows = Store(tmp_path), sample_rows(40, 16)
    adapter = run(store, rows, settings={"epochs": 3, "patience": 1, "learning_rate": 0.3, "max_length": LENGTH})
    facts = adapter_manifest(store, adapter)
    assert facts["best_epoch"] == 0
    assert len(facts["curve"]) == 2  # stopped after one epoch without gain
    texts = rows["text"].tolist()
    vectors = embed(store, "minilm", texts, max_length=LENGTH, threads=1)
    y = pd.Categorical(rows["label"], categories=list(LABELS)).codes.astype(np.int64)
    kept = (rows["split"] == "train").to_numpy()
    probe = fit_probe(vectors[kept], y[kept], 4, validation=(vectors[~kept], y[~kept]))
    labels, _ = predict(store, adapter, texts, threads=1)
    assert labels == [LABELS[best] for best in probe.probabilities(vectors).argmax(axis=1)]


def test_the_manifest_says_what_the_adapter_is_made_of(trained: tuple[Store, str]) -> None:
    store, adapter = trained
    facts = adapter_manifest(store, adapter)
    assert facts["counts"] == {"train": 80, "validation": 30, "blank": 0}
    assert facts["labels"] == list(LABELS)
    assert facts["settings"]["epochs"] == 2
    assert facts["absent_labels"] == facts["notes"] == []
    assert 0 < facts["trainable_share"] < 0.05
    assert {"torch", "peft", "transformers"} <= set(facts["packages"])
    assert facts["seconds"] > 0 < facts["peak_memory_mb"]
    folder = store.folder("adapters", adapter)
    files = {file.name for file in folder.iterdir()}
    assert files == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "head.safetensors",
        "adapter.json",
        "manifest.json",
    }
    assert str(model_folder("minilm")) not in (folder / "adapter_config.json").read_text()


def test_the_same_inputs_give_the_same_bytes_whatever_the_order_of_the_rows(
    trained: tuple[Store, str], tmp_path: Path
) -> None:
    store, adapter = trained
    again = Store(tmp_path)
    shuffled = sample_rows().sample(frac=1, random_state=5)
    assert run(again, shuffled) == adapter
    for name in ("adapter_model.safetensors", "adapter_config.json", "head.safetensors"):
        assert sha256(again.folder("adapters", adapter) / name) == sha256(store.folder("adapters", adapter) / name)


def test_only_the_seed_moves_the_bytes_and_not_what_is_in_the_cache(tmp_path: Path) -> None:
    """The last bits of a cached vector depend on what it was once computed with; the adapter's may not."""
    rows, once = sample_rows(24, 0), {"settings": {"epochs": 1, "max_length": 64}}
    fresh, warm = Store(tmp_path / "fresh"), Store(tmp_path / "warm")
    for text in rows["text"]:
        embed(warm, "minilm", [text], max_length=64, threads=1)
    folders = [
        store.folder("adapters", run(store, rows, seed=seed, **once))
        for store, seed in ((fresh, 0), (warm, 0), (fresh, 1))
    ]
    for name in ("adapter_model.safetensors", "head.safetensors"):
        one, same, other = (sha256(folder / name) for folder in folders)
        assert one == same != other


def test_training_leaves_the_caller_s_random_state_alone(trained: tuple[Store, str], tmp_path: Path) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(Store(tmp_path), sample_rows(30, 0), settings={"epochs": 1, "max_length": 16})
    assert torch.equal(torch.rand(3), expected)


def test_what_is_published_is_returned_without_training(trained: tuple[Store, str]) -> None:
    store, adapter = trained
    calls: list[tuple[int, int]] = []
    written = {file: file.stat().st_mtime_ns for file in store.folder("adapters", adapter).iterdir()}
    assert run(store, sample_rows(), progress=lambda done, total: calls.append((done, total))) == adapter
    assert calls == []
    assert {file: file.stat().st_mtime_ns for file in store.folder("adapters", adapter).iterdir()} == written


def test_everything_that_determines_an_adapter_is_in_its_id(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), sample_rows(12, 0)
    once: dict[str, object] = {"settings": {"epochs": 1, "max_length": 8}}
    changes: list[dict[str, object]] = [
        {}, {"seed": 1}, {"version": "v2"}, {"labels_from": "uncleaned"}, {"labels": (*LABELS, "other")},
        {"settings": {"epochs": 1, "max_length": 9}},
    ]  # fmt: skip
    ids = [run(store, rows, **(once | change)) for change in changes]
    ids.append(run(store, rows.assign(text=rows["text"].str.upper()), **once))
    assert len(set(ids)) == len(changes) + 1


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    run(Store(tmp_path), sample_rows(30, 0), progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (60, 60)


def test_without_validation_rows_all_epochs_run_and_the_manifest_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    facts = adapter_manifest(store, run(store, sample_rows(40, 0)))
    assert facts["best_epoch"] == 2
    assert facts["temperature"] == 1
    assert any("no validation rows" in note for note in facts["notes"])


def test_a_label_without_training_rows_is_named_and_never_answered(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), sample_rows(32, 12)
    rows = rows[(rows["label"] != LABELS[1]) | (rows["split"] == "validation")]
    adapter = run(store, rows)
    facts = adapter_manifest(store, adapter)
    assert facts["absent_labels"] == [LABELS[1]]
    assert any("left out" in note for note in facts["notes"])
    labels, probabilities = predict(store, adapter, sample_rows(32, 12)["text"].tolist(), threads=1)
    assert LABELS[1] not in labels
    assert probabilities[:, 1].max() < 1e-6


def test_blank_texts_are_left_out_of_training_and_answered_without_evidence(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), sample_rows(40, 0)
    rows.loc[:4, "text"] = "  "
    adapter = run(store, rows, settings={"epochs": 1, "max_length": 16})
    assert adapter_manifest(store, adapter)["counts"]["blank"] == 5
    _, probabilities = predict(store, adapter, ["", "Where is my parcel?"], threads=1)
    assert np.allclose(probabilities[0], softmax(load_adapter(store, adapter).bias[None])[0])


def test_two_labels_are_enough(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), sample_rows(50, 20)
    rows = rows[rows["label"].isin(LABELS[:2])]
    labels, _ = predict(store, run(store, rows, labels=LABELS[:2]), rows["text"].tolist(), threads=1)
    assert (np.array(labels) == rows["label"].to_numpy()).mean() > 0.8


def nothing_published(store: Store) -> bool:
    return not list((store.root / "adapters").glob("*"))


def test_one_label_cannot_be_trained(tmp_path: Path) -> None:
    rows = sample_rows()
    with pytest.raises(TrainingError, match=r"only the label 'order_status'.*at least 2"):
        run(Store(tmp_path), rows[rows["label"] == "order_status"])
    assert nothing_published(Store(tmp_path))


def test_no_training_rows_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no rows"):
        run(Store(tmp_path), sample_rows().query("split == 'validation'"))


@pytest.mark.parametrize("name", ["named_entities", "instruction_response", "response_rating"])
def test_work_whose_answers_are_not_one_of_a_few_labels_is_not_trained_and_the_reason_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="one of a few labels"):
        train_stage(init(tmp_path, name))


def test_a_label_outside_the_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="return_refund"):
        run(Store(tmp_path), sample_rows(), labels=LABELS[:3])


def test_a_loss_that_is_not_finite_stops_and_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"diverged.*learning_rate"):
        run(
            Store(tmp_path),
            sample_rows(60, 0),
            settings={"learning_rate": 1e30, "epochs": 3, "max_length": 16},
        )
    assert nothing_published(Store(tmp_path))


def test_a_last_step_that_spoils_the_weights_is_noticed_without_validation_rows(tmp_path: Path) -> None:
    """One step in all: its loss is fine, and no other follows that would not be."""
    one_step = {"learning_rate": 1e20, "epochs": 1, "max_length": 16, "tokens_per_batch": 4096}
    with pytest.raises(TrainingError, match=r"diverged.*learning_rate"):
        run(Store(tmp_path), sample_rows(40, 0), settings=one_step)
    assert nothing_published(Store(tmp_path))


KILLED = """
import os, pathlib, sys
import pandas as pd
from pipeline.store import Store
from pipeline.training.train import train

def kill(done, total):
    if done > total / 2:
        os._exit(9)

rows = pd.read_parquet(sys.argv[2])
train(
    Store(pathlib.Path(sys.argv[1])), rows=rows, labels=tuple(sys.argv[3:]), version="v1", labels_from="cleaned",
    settings={"epochs": 2, "max_length": 16, "tokens_per_batch": 128}, threads=1, progress=kill,
)
"""


def test_a_killed_training_leaves_nothing_visible_and_the_next_try_succeeds(tmp_path: Path) -> None:
    store, rows, file = Store(tmp_path / "store"), sample_rows(24, 0), tmp_path / "rows.parquet"
    rows.to_parquet(file)
    command = [sys.executable, "-c", KILLED, str(store.root), str(file), *LABELS]
    killed = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert killed.returncode == 9, killed.stderr
    assert nothing_published(store)
    adapter = run(store, rows, settings={"epochs": 2, "max_length": 16, "tokens_per_batch": 128})
    assert predict(store, adapter, ["Where is my parcel?"], threads=1)[1].shape == (1, 4)
    assert [path.name for path in (store.root / "adapters").iterdir()] == [adapter]


def test_a_text_of_ten_thousand_words_is_cut_and_not_refused(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), sample_rows(24, 0)
    long = " ".join(["parcel"] * 10_000)
    rows.loc[0, "text"] = long
    adapter = run(store, rows, settings={"epochs": 1, "max_length": 16})
    _, probabilities = predict(store, adapter, [long, " ".join(["parcel"] * 14)], threads=1)
    assert np.allclose(probabilities[0], probabilities[1], atol=1e-6)  # 14 words and the two tokens around them


def test_a_model_that_cannot_be_had_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # also where there is a network
    with pytest.raises(TrainingError, match=r"'nobody/no-such-model'.*local folder"):
        run(Store(tmp_path), sample_rows(24, 0), model="nobody/no-such-model")
    assert nothing_published(Store(tmp_path))


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), sample_rows(40, 0)
    with pytest.raises(TrainingError, match=r"'lorra'.*Did you mean 'lora'"):
        run(store, rows, method="lorra")
    with pytest.raises(TrainingError, match=r"'epoch'.*Did you mean 'epochs'"):
        run(store, rows, settings={"epoch": 1})
    with pytest.raises(TrainingError, match="cleaned, uncleaned"):
        run(store, rows, labels_from="raw")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"rank": True},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"head_learning_rate": 1e300},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        settings_for(wrong)


def test_an_adapter_of_another_base_model_revision_is_not_used(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(model_folder("minilm"), base)
    store = Store(tmp_path / "store")
    adapter = run(store, sample_rows(30, 0), model=str(base), settings={"epochs": 1, "max_length": 16})
    predict(store, adapter, ["Where is my parcel?"], threads=1)
    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (base / "model.safetensors").write_bytes(weights)
    with pytest.raises(TrainingError, match="another revision"):
        predict(store, adapter, ["Where is my parcel?"], threads=1)


def test_an_adapter_that_was_never_trained_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        predict(Store(tmp_path), "0" * 32, ["a"])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_starts_as_the_identity(method: str) -> None:
    """The loop counts on it: epoch 0 is the probe."""
    import torch
    from peft import get_peft_model

    encoder = load_encoder("minilm", threads=1)
    ids = tokenize(encoder, sample_rows()["text"].tolist()[:8])
    with torch.inference_mode():
        before = forward(encoder.module, ids, padding_id(encoder))
        after = forward(
            get_peft_model(encoder.module, peft_config(method, Settings())).eval(), ids, padding_id(encoder)
        )
    assert torch.allclose(before, after, atol=1e-6)


def test_the_probe_recovers_a_rule_and_its_penalty_is_chosen_on_validation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 10)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = (x @ rng.normal(size=(10, 3)).astype(np.float32)).argmax(axis=1)
    probe = fit_probe(x[:400], y[:400], 3, validation=(x[400:500], y[400:500]))
    assert (probe.probabilities(x[500:]).argmax(axis=1) == y[500:]).mean() > 0.9
    assert probe.penalty == 300  # the labels hold no noise: the weakest penalty fits best
    noisy = rng.integers(0, 3, 600)
    assert fit_probe(x[:400], noisy[:400], 3, validation=(x[400:500], noisy[400:500])).penalty == 1


def test_the_temperature_undoes_a_scaling_of_calibrated_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 4)).astype(np.float32)
    y = np.array([rng.choice(4, p=row / row.sum()) for row in softmax(logits).astype(np.float64)])
    assert temperature(logits * np.float32(3), y) == pytest.approx(3, rel=0.05)


def test_log_loss_is_that_of_a_uniform_guess() -> None:
    assert log_loss(np.full((5, 4), 0.25, dtype=np.float32), np.array([0, 1, 2, 3, 0])) == pytest.approx(np.log(4))


def test_a_distribution_is_learnt_instead_of_the_label_where_it_is_asked_for(tmp_path: Path) -> None:
    """Every text of one label was called another by a third of the annotators: the adapter that learnt how they split gives the
    other label more than the one that learnt the answer; without the setting a distribution changes nothing."""
    rows = sample_rows()
    here, other = LABELS[0], LABELS[1]
    split = orjson.dumps({here: 0.67, other: 0.33}).decode()
    soft = rows.assign(distribution=[split if label == here else "" for label in rows["label"]])
    store = Store(tmp_path)
    plain = run(store, rows)
    assert run(store, soft) == plain
    asked = QUICK | {"soft_labels": True}
    learnt = run(store, soft, settings=asked)
    assert learnt not in (plain, run(store, rows, settings=asked))
    texts = rows.loc[rows["label"] == here, "text"].tolist()
    share = {key: float(predict(store, key, texts, threads=1)[1][:, 1].mean()) for key in (plain, learnt)}
    assert share[learnt] > share[plain] + 0.05
    with pytest.raises(TrainingError, match="soft_labels"):
        run(store, soft, settings=QUICK | {"soft_labels": "yes"})
