"""The pages on folders as a check run and an evaluation leave them, and hostile texts in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_folders import PEOPLE, TEXTS, build, judge

from pipeline.errors import Damaged, Missing
from pipeline.evaluation.promotion import decide
from pipeline.report import evaluation, markdown_summary, quality, render
from pipeline.report.render import visible
from pipeline.store import write_json


def test_the_page_says_the_verdict_in_one_sentence(tmp_path: Path) -> None:
    summary = build(tmp_path / "run")
    kept = summary["verdicts"]["keep"]
    assert f"<b>Gate open</b>: {kept} of 672 examples are fit for training" in quality(tmp_path / "run")


class Page(HTMLParser):
    """The parsed page: every tag, every attribute, and the text of each section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.sections: dict[str, str] = {}
        self._open = "head"
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "section" or (tag == "header" and "top" not in self.sections):
            self._open = dict(attrs).get("id") or "top"
        if tag in ("p", "td", "th", "div", "span", "dd", "li", "br"):
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        self.sections[self._open] = self.sections.get(self._open, "") + data

    def section(self, name: str) -> str:
        return " ".join(self.sections[name].split())


def test_every_section_says_the_numbers_of_the_summary(tmp_path: Path) -> None:
    summary = build(tmp_path)
    page = Page(quality(tmp_path))
    verdicts = summary["verdicts"]
    top = page.section("top")
    assert f"{verdicts['keep']} of 672 examples are fit for training" in top
    assert f"{verdicts['relabel']} need an annotator, {verdicts['drop']} were set aside" in top
    assert "0.71" in top
    assert "95% interval 0.66–0.76" in top
    assert f"{summary['counts']['annotations']:,}" in top
    for item in summary["gate"]["expectations"]:
        assert item["meaning"] in page.section("gate")
        assert f"{item['observed']} {item['allowed']}" in page.section("gate")
    for item in summary["labels"]:
        row = f"{item['label']} {100 * item['share']:.1f}% {100 * item['low']:.1f}–{100 * item['high']:.1f}% {item['count']}"
        assert row in page.section("labels")
    for item in summary["verdicts_by_slice"]:
        interval = f"{100 * item['kept_low']:.1f}–{100 * item['kept_high']:.1f}%"
        row = f"{item['slice']} {item['group']} {100 * item['kept']:.1f}% {interval} {item['n']}"
        assert row in page.section("slices")
    for item in [*summary["agreement"]["labels"], *summary["agreement"]["slices"]]:
        assert f"{item['value']:.2f} {item['low']:.2f}–{item['high']:.2f} {item['n']}" in page.section("agreement")
    for item in summary["agreement"]["pairs"]:
        assert page.section("agreement").count(f"{item['value']:.2f} n {item['n']}") >= 2
    for item in summary["checks"]:
        where = "skipped" if item["status"] == "skipped" else "checks"
        assert item["question"] in page.section(where)
        if item["flagged"]:
            assert f"{item['question']} {item['flagged']} of {item['judged']} flagged" in page.section("checks")
    for name, counts in summary["splits"].items():
        row = " ".join(str(counts.get(verdict, 0)) for verdict in ("keep", "relabel", "drop"))
        assert re.search(rf"{name.capitalize()} .*?{row}", page.section("splits"))
    for name, counts in summary["verdicts_by_check"].items():
        numbers = f"{counts['relabel']} {counts['drop']} {counts.get('fix', 0)} {counts['note']}"
        row = f"{name.replace('_', ' ').capitalize()} {summary['policy'][name]} {numbers}"
        assert row in page.section("aside")
    for item in summary["planted"]:
        numbers = f"{item['planted']} {item['found']} {item['flagged']} {item['where']}"
        assert f"{item['fault'].replace('_', ' ').capitalize()} {numbers}" in page.section("planted")
    for name, version in summary["environment"].items():
        assert f"{name} {version}" in page.section("made")
    assert "Ruiz 94.9%" in page.section("annotators")


def test_an_annotator_with_eight_answers_is_not_ranked(tmp_path: Path) -> None:
    build(tmp_path)
    people = Page(quality(tmp_path)).section("annotators")
    ranked, unranked = people.split("Too few answers to rank", 1)
    assert "Edda Weiss" not in ranked
    assert "Dee Park" in ranked
    assert "Edda Weiss" in unranked.split("The numbers")[0]


def test_the_queue_is_ordered_by_severity_and_shows_who_said_what(tmp_path: Path) -> None:
    build(tmp_path)
    verdicts = pd.read_parquet(tmp_path / "verdicts.parquet")
    rows = verdicts[verdicts["verdict"] == "relabel"]
    worst = rows.assign(worst=[max(item["severity"] for item in json.loads(why)) for why in rows["reasons"]])
    expected = worst.sort_values(["worst", "example_id"], ascending=[False, True])["example_id"].head(10).tolist()
    body = quality(tmp_path).split('<section id="next">')[1].split("</section>")[0]
    assert [int(found) for found in re.findall(r'<div class="id">(\d+)</div>', body)] == expected
    said = pd.read_parquet(tmp_path / "annotations.parquet")
    for example in body.split('<li class="example">')[1:]:
        key = int(re.findall(r'<div class="id">(\d+)</div>', example)[0])
        mine = said[said["example_id"] == key]
        shown = re.findall(r"<span>([^<]+)</span>([^<]+)</li>", example)
        assert sorted(shown) == sorted((PEOPLE[row.annotator], json.loads(row.answer)) for row in mine.itertuples())


def test_the_text_of_an_example_with_a_privacy_finding_is_nowhere(tmp_path: Path) -> None:
    build(tmp_path)
    findings = pd.read_parquet(tmp_path / "findings.parquet")
    private = set(findings[(findings["check"] == "privacy") & findings["flagged"]]["subject_id"])
    examples = pd.read_parquet(tmp_path / "examples.parquet")
    examples["text"] = [f"my mail is number{key}@example.org" for key in examples["example_id"]]
    examples.to_parquet(tmp_path / "examples.parquet", index=False)
    page = quality(tmp_path)
    shown = set(re.findall(r"number(\d+)@example", page))
    assert shown, "the other texts are shown"
    assert not shown & private
    assert page.count("Text not shown") >= 5


def test_what_was_in_quarantined_records_is_not_shown(tmp_path: Path) -> None:
    build(tmp_path)
    page = quality(tmp_path)
    assert "The task has no field" in Page(page).section("quarantine")
    assert "do not show" not in page


def test_equal_folders_give_equal_pages(tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two")
    shuffled = pd.read_parquet(tmp_path / "two" / "findings.parquet").sample(frac=1, random_state=1)
    shuffled.to_parquet(tmp_path / "two" / "findings.parquet", index=False)
    assert quality(tmp_path / "one") == quality(tmp_path / "two")


def test_the_page_is_one_file_that_loads_and_runs_nothing(tmp_path: Path) -> None:
    build(tmp_path)
    text = quality(tmp_path)
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(page.tags)
    assert all(value.startswith("#") for _, name, value in page.attributes if name in ("href", "src", "xlink:href"))
    assert not re.search(r"url\(|@import|@font-face", text)
    policy = [value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    named = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= named


def test_every_plot_has_a_title_and_its_numbers_in_a_table(tmp_path: Path) -> None:
    build(tmp_path)
    text = quality(tmp_path)
    plots = re.findall(r'<svg class="(?:row|stacked)"[^>]*>.{0,20}', text)
    assert plots
    assert all('role="img"><title>' in plot for plot in plots)
    assert text.count("<figure") == text.count("<summary>The numbers</summary>") > 4


def test_a_check_nobody_knew_shows_its_question_count_and_facts(tmp_path: Path) -> None:
    summary = build(tmp_path)
    summary["checks"].append(
        {
            "check": "sarcasm", "question": "Who means it?", "status": "flagged", "reason": "", "judged": 20, "flagged": 3,
            "seconds": 1.5, "settings": {"depth": 2},
            "facts": {"mean_depth": 1.25, "none": [], "by_tone": [{"tone": "dry", "count": 11}], "pairs": {"a-b": {"exact": 4}}},
        }
    )  # fmt: skip
    write_json(tmp_path / "summary.json", summary)
    checks = Page(quality(tmp_path)).section("checks")
    assert "Sarcasm ● flagged Who means it? 3 of 20 flagged" in checks
    assert "Mean depth 1.25" in checks
    assert "By tone Tone Count dry 11" in checks
    assert "Pairs Pairs Exact a-b 4" in checks


def test_the_page_says_what_is_ambiguous_and_how_the_methods_did_where_the_answer_is_known(tmp_path: Path) -> None:
    build(tmp_path)
    said = Page(quality(tmp_path)).section("agreement")
    assert "5 of 90 examples are ambiguous" in said
    assert "dawid_skene 0.90 0.74–0.96 30" in said


@pytest.mark.parametrize("n", [0, 1, 10])
def test_a_small_project_without_annotators_or_slices_has_a_whole_page(tmp_path: Path, n: int) -> None:
    summary = build(tmp_path, n=n, people={}, slices={}) if n else _nothing(tmp_path)
    page = Page(quality(tmp_path))
    for name, says in {
        "labels": "No example has an answer yet.", "slices": "The project names no slices.", "agreement": "Not measured",
        "annotators": "No annotator is known.", "aside": "Nothing was set aside.", "next": "No example needs an annotator.",
    }.items():  # fmt: skip
        assert says in page.section(name), name
    assert ("no examples" if n == 0 else "an answer yet") in page.section("top")
    assert markdown_summary(summary, "report.html")


def _nothing(folder: Path) -> dict[str, Any]:
    """A project without a single example, every table as untyped as an empty data frame is."""
    summary = build(folder, n=10, people={}, slices={})
    for file in folder.glob("*.parquet"):
        pd.DataFrame([], columns=pd.read_parquet(file).columns).to_parquet(file, index=False)
    summary["counts"] = dict.fromkeys(summary["counts"], 0)
    summary["splits"], summary["planted"] = {}, None
    for item in summary["checks"]:
        item.update(status="skipped", reason="There are no examples.", judged=0, flagged=0, facts={})
    write_json(folder / "summary.json", summary)
    return summary


def test_with_everything_skipped_each_check_says_why(tmp_path: Path) -> None:
    summary = _nothing(tmp_path)
    page = Page(quality(tmp_path))
    assert page.section("skipped").count("There are no examples.") == len(summary["checks"])
    assert "No check was run." in page.section("checks")
    assert "planted" not in page.sections


def test_ten_examples_of_one_annotator_each_have_a_page(tmp_path: Path) -> None:
    build(tmp_path, n=10, people={"11": "Ana Ruiz"})
    page = Page(quality(tmp_path))
    assert "No example has two answers." in page.section("agreement")
    assert "Ana Ruiz" in page.section("annotators")


def test_a_closed_gate_says_what_blocks_first(tmp_path: Path) -> None:
    build(tmp_path, gate_open=False)
    page = Page(quality(tmp_path))
    top = page.section("top")
    assert top.index("Gate closed") < top.index("At most 10% of the labels are doubtful. observed 0.31, allowed ≤ 0.1")
    assert "The check “Text quality” crashed KeyError" in top
    assert "assay release" not in top
    assert page.section("gate").index("✕ fails") < page.section("gate").index("✓ holds")


def test_a_page_over_100_000_examples_stays_under_3_mb(tmp_path: Path) -> None:
    labels = tuple(f"label_{at}" for at in range(300))
    people = {str(at): f"Annotator {at}" for at in range(200)}
    slices = {"country": tuple(f"c{at}" for at in range(60)), "channel": ("email", "chat")}
    build(tmp_path, n=100_000, labels=labels, people=people, slices=slices, texts=(*TEXTS, "long " * 1000))
    text = quality(tmp_path)
    assert len(text.encode()) < 3_000_000
    assert "verdicts.parquet" in text
    assert "more are in summary.json" in text


@pytest.mark.parametrize("missing", ["summary.json", "findings.parquet", "annotations.parquet"])
def test_a_folder_without_one_of_its_files_is_refused(tmp_path: Path, missing: str) -> None:
    build(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(Missing, match=re.escape(missing)):
        quality(tmp_path)


def test_a_summary_that_is_not_json_is_refused(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(Damaged, match="summary"):
        quality(tmp_path)


HOSTILE = (
    "<script>document.documentElement.setAttribute('data-pwned','1')</script>",
    "\"><img src=x onerror=\"document.documentElement.setAttribute('data-pwned','1')\">",
    "' autofocus onfocus='document.documentElement.setAttribute(\"data-pwned\",1)' x='",
    "<svg onload=document.documentElement.setAttribute('data-pwned','1')></svg>",
    "</style></title></textarea><script>document.documentElement.setAttribute('data-pwned','1')</script>",
    "<iframe srcdoc=\"<script>parent.document.documentElement.setAttribute('data-pwned','1')</script>\"></iframe>",
    "<a href=\"javascript:document.documentElement.setAttribute('data-pwned','1')\">x</a>",
    "{{7*7}}{% raw %}${7*7}<%= 7*7 %>",
    "]]><!--</svg><math><mtext></p><style><img src=x onerror=alert(1)>",
    "\u202e\u2066evil\u2069\u200f\x00\x1b[31m\ufeff\u2028",
)


def _dom(folder: Path, text: str) -> str:
    """What a real browser makes of the page, without the page's own policy: escaping must hold alone."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("chromium is not installed")
    folder.mkdir(exist_ok=True)
    (folder / "page.html").write_text(re.sub(r'<meta http-equiv="Content[^>]*>', "", text), encoding="utf-8")
    quiet = ("gpu", "quic", "background-networking", "component-update", "sync")
    flags = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    flags += ["--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run(
        [browser, *flags, f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()],
        capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    return done.stdout.decode()


WITNESS = "Zq7"  # stands before each hostile text: that it is on the page shows that the text is


def _assert_harmless(dom: str, calm: str) -> None:
    """The browser ran nothing, and built no element or attribute that the page over calm texts does not have."""
    page, expected = Page(dom), Page(calm)
    assert dom.rstrip().endswith("</html>")
    assert dom.count(WITNESS) > 30
    assert "data-pwned" not in [name for _, name, _ in page.attributes]
    assert page.tags == expected.tags
    assert {(tag, name) for tag, name, _ in page.attributes} == {(tag, name) for tag, name, _ in expected.attributes}
    assert [value for _, name, value in page.attributes if name == "href" and not value.startswith("#")] == []
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00\x1b\ufeff\u2028]", dom)


@pytest.fixture(scope="module")
def calm_quality(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("calm")
    build(folder, n=60, gate_open=False)
    return _dom(folder, quality(folder))


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_any_field_does_nothing_in_a_browser(tmp_path: Path, payload: str, calm_quality: str) -> None:
    build(tmp_path, n=60, gate_open=False, mark=WITNESS + payload)
    _assert_harmless(_dom(tmp_path, quality(tmp_path)), calm_quality)


def test_the_browser_test_would_see_a_script(tmp_path: Path) -> None:
    build(tmp_path / "run", n=10)
    dom = _dom(tmp_path, quality(tmp_path / "run").replace("</main>", HOSTILE[0] + "</main>"))
    assert "data-pwned" in [name for _, name, _ in Page(dom).attributes]


@given(st.text())
def test_no_control_or_direction_character_survives(text: str) -> None:
    seen = visible(text)
    assert not [char for char in seen if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in "\n\t"]
    assert not set(seen) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")
    assert visible(seen) == seen


@pytest.mark.parametrize("text", ["می‌خواهم", "👩‍🚀 ok", "naïve – “x”", "a\nb\tc", "שלום"])
def test_honest_text_in_any_script_is_left_alone(text: str) -> None:
    assert visible(text) == text


def _colours(scheme: str) -> dict[str, str]:
    css = (Path(render.__file__).parent / "style.css.j2").read_text()
    part = css if scheme == "light" else css.split("prefers-color-scheme: dark", 1)[1]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part.split("}", 1)[0]))


def _contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _mixed(one: str, other: str, share: float) -> str:
    parts = [(int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_aa_contrast(scheme: str) -> None:
    colours = _colours(scheme)
    for ground in ("paper", "card", "faint"):
        for text in ("ink", "soft", "good", "bad", "link", "relabel"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark in ("keep", "relabel", "drop"):
        assert _contrast(colours[mark], colours["paper"]) >= 3, mark
    css = (Path(render.__file__).parent / "style.css.j2").read_text()
    shades = [int(share) for share in re.findall(r"\.b\d \{ background: color-mix\(in srgb, var\(--keep\) (\d+)%", css)]
    assert len(shades) == 5
    for share in shades:
        assert _contrast(colours["ink"], _mixed(colours["keep"], colours["paper"], share / 100)) >= 4.5, share


def test_the_markdown_summary_is_short_and_says_the_verdict(tmp_path: Path) -> None:
    summary = build(tmp_path, gate_open=False)
    text = markdown_summary(summary, "https://reports.example/a b/quality.html")
    assert len(text.splitlines()) <= 25
    assert "\n\n\n" not in text + markdown_summary(build(tmp_path / "open"), "report.html")
    assert f"{summary['verdicts']['keep']} of 672 examples are fit for training" in text
    assert "0.71 (0.66–0.76)" in text
    assert "- Blocked: At most 10% of the labels are doubtful." in text
    assert "[Open the report](<https://reports.example/a%20b/quality.html>)" in text


MARKDOWN = (
    "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "`a` **b** # c | d\n\n- e",
    "https://evil.example www.evil.example a@b.example &#60;b&#62;",
)


@pytest.mark.parametrize("payload", [*HOSTILE, *MARKDOWN], ids=range(len(HOSTILE) + len(MARKDOWN)))
def test_markdown_and_html_from_tasks_do_not_act(tmp_path: Path, payload: str) -> None:
    summary = build(tmp_path, n=40, mark=payload, gate_open=False)
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    calm = build(tmp_path / "calm", n=40, gate_open=False)
    shown = [Page(parser.render(markdown_summary(body, "report.html"))) for body in (summary, calm)]
    assert shown[0].tags == shown[1].tags
    assert shown[0].attributes == shown[1].attributes
    raw = markdown_summary(summary, "report.html")
    assert "://" not in raw
    assert "www." not in raw
    assert not re.search(r"\w@\w", raw)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,<script>alert(1)</script>"])
def test_a_link_that_is_no_address_of_a_report_is_not_linked(tmp_path: Path, link: str) -> None:
    assert "](" not in markdown_summary(build(tmp_path, n=10), link)


def _decision(body: dict[str, Any]) -> dict[str, Any]:
    return asdict(decide(body, margin=0.02, slice_margin=0.05, min_slice=20, champion="c0ffee"))


def test_the_evaluation_says_decision_intervals_and_differences(tmp_path: Path) -> None:
    body = judge(tmp_path)
    decision = _decision(body)
    page = Page(evaluation(tmp_path, {"project": "Harbour & Home", "decision": decision}))
    top = page.section("top")
    found = body["models"]["adapter"]["accuracy"]
    gap = body["differences"]["champion"]
    assert ("Promoted: " if decision["promote"] else "Not promoted: ") in top
    assert f"{100 * found['value']:.1f}% of 134 test examples are answered right" in top
    assert f"{100 * gap['value']:.1f} points more than by champion" in top
    assert body["warnings"]
    assert all(text in top for text in body["warnings"])
    for name, item in body["models"].items():
        ends = f"{100 * item['accuracy']['low']:.1f}–{100 * item['accuracy']['high']:.1f}%"
        assert f"{name} {100 * item['accuracy']['value']:.1f}% {ends}" in page.section("models")
        assert f"{item['macro_f1']['value']:.2f} ({item['macro_f1']['low']:.2f}–" in page.section("models")
    for item in body["differences"].values():
        assert f"{item['won']} {item['lost']} " + (
            "< 0.001" if item["p"] < 0.001 else f"{item['p']:.3f}"
        ) in page.section("models")
    seen = set()
    for part in body["slices"]:
        base = part["models"]["base"]
        told = "too few to judge" if base == "too few" else f"{100 * base['value']:.1f}%"
        assert re.search(rf"region {part['value']} {part['n']} .*{re.escape(told)}", page.section("slices"))
        seen.add(base == "too few")
    assert seen == {True, False}
    for item in body["models"]["adapter"]["per_class"]:
        row = f"{item['label']} {item['n']} {item['precision']:.2f} {item['recall']:.2f} {item['f1']:.2f}"
        assert row in page.section("labels")
    for row in body["confusion"]["matrix"]:
        assert " ".join(str(count or "·") for count in row) in page.section("confusion")
    for item in decision["reasons"]:
        assert item["meaning"] in page.section("decision")
        assert item["rule"] in page.section("decision")


def test_an_evaluation_without_decision_or_slices_is_whole(tmp_path: Path) -> None:
    body = judge(tmp_path, labels=40, slices=())
    page = Page(evaluation(tmp_path, {}))
    assert "Measured: " in page.section("top")
    assert "decision" not in page.sections
    assert "The project names no slices." in page.section("slices")
    assert "most frequent of" in page.section("confusion")
    write_json(tmp_path / "evaluation.json", {**body, "differences": {}, "warnings": []})
    assert "Against" not in Page(evaluation(tmp_path, {})).section("top")


def _evaluation_page(folder: Path, mark: str) -> str:
    body = judge(folder, mark=mark, rival="other")
    decision = decide(body, margin=0.02, slice_margin=0.05, min_slice=20, champion="c0ffee" + mark)
    return evaluation(folder, {"project": "p" + mark, "decision": asdict(decision)})


@pytest.fixture(scope="module")
def calm_evaluation(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("calm")
    return _dom(folder, _evaluation_page(folder, ""))


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_an_evaluation_does_nothing_in_a_browser(
    tmp_path: Path, payload: str, calm_evaluation: str
) -> None:
    _assert_harmless(_dom(tmp_path, _evaluation_page(tmp_path, WITNESS + payload)), calm_evaluation)


def test_an_evaluation_that_was_never_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="evaluation"):
        evaluation(tmp_path, {})
