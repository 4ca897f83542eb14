"""The first screen: the verdict in one sentence, the key numbers, what blocks and what to do."""

from __future__ import annotations

from typing import Any

from pipeline.report.render import num, pct, plural, span, val, words
from pipeline.statistics import wilson


def sentence(summary: dict[str, Any]) -> str:
    """Gate open: 612 of 672 examples are fit for training; 31 need an annotator, 29 were set aside."""
    return f"Gate {'open' if summary['gate']['open'] else 'closed'}: {_state(summary)}"


def _state(summary: dict[str, Any]) -> str:
    keep, relabel, drop = (summary["verdicts"][name] for name in ("keep", "relabel", "drop"))
    judged = keep + relabel + drop
    if summary["counts"]["examples"] == 0:
        return "the project has no examples."
    if judged == 0:
        return f"none of {plural(summary['counts']['examples'], 'example', 'examples')} has an answer yet."
    text = (
        f"{num(keep)} of {plural(judged, 'example', 'examples')} {'is' if keep == 1 else 'are'} fit for training; "
        f"{num(relabel)} {'needs' if relabel == 1 else 'need'} an annotator, "
        f"{num(drop)} {'was' if drop == 1 else 'were'} set aside."
    )
    unjudged = summary["counts"]["examples"] - judged
    return (
        text if unjudged <= 0 else f"{text[:-1]}, {num(unjudged)} {'has' if unjudged == 1 else 'have'} no answer yet."
    )


def key_numbers(summary: dict[str, Any]) -> list[dict[str, str]]:
    """Five figures, each with its interval where it is an estimate."""
    counts, verdicts = summary["counts"], summary["verdicts"]
    total = sum(verdicts.values())
    shares = {name: wilson(count, total).as_dict() if total else None for name, count in verdicts.items()}
    fit = shares["keep"]
    return [
        {
            "name": "Fit for training",
            "value": pct(fit["value"]) if fit else "–",
            "note": f"{num(verdicts['keep'])} of {num(total)}",
            "interval": span(fit, "share"),
        },
        {
            "name": "Need an annotator",
            "value": num(verdicts["relabel"]),
            "note": _share(shares["relabel"]),
            "interval": span(shares["relabel"], "share"),
        },
        {
            "name": "Set aside",
            "value": num(verdicts["drop"]),
            "note": _share(shares["drop"]),
            "interval": span(shares["drop"], "share"),
        },
        _agreement(summary["agreement"]),
        {
            "name": "Annotations",
            "value": num(counts["annotations"]),
            "note": f"by {plural(counts['annotators'], 'annotator', 'annotators')}, {_per_example(counts)}",
            "interval": "",
        },
    ]


def _share(share: dict[str, float] | None) -> str:
    return f"{pct(share['value'])} of all" if share else "nothing judged"


def _agreement(agreement: dict[str, Any]) -> dict[str, str]:
    overall = agreement["overall"]
    if overall is None:
        return {
            "name": "Agreement",
            "value": "–",
            "note": agreement["reason"][:1].upper() + agreement["reason"][1:],
            "interval": "",
        }
    return {
        "name": "Agreement",
        "value": val(overall["value"]),
        "note": agreement["measure"],
        "interval": span(overall),
    }


def _per_example(counts: dict[str, Any]) -> str:
    if not counts["annotated"]:
        return "none answered"
    return f"{counts['annotations'] / counts['annotated']:.1f} per annotated example"


def blocked(summary: dict[str, Any]) -> list[dict[str, str]]:
    """Each failed expectation: what it means, what was seen and what is allowed."""
    failed = [item for item in summary["gate"]["expectations"] if not item["passed"]]
    rows = [
        {
            "what": item["meaning"] or f"{item['expectation']} on {item['table']}",
            "seen": f"observed {_plain(item['observed'])}, allowed {_plain(item['allowed'])}",
        }
        for item in failed
    ]
    crashed = [item for item in summary["checks"] if item["status"] == "crashed"]
    return rows + [{"what": f"The check “{words(item['check'])}” crashed", "seen": item["reason"]} for item in crashed]


def _plain(value: Any) -> str:
    return num(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def actions(summary: dict[str, Any]) -> list[dict[str, str]]:
    """What to do, most urgent first: text, the command that does it (or ""), and the section that shows it."""
    counts, verdicts = summary["counts"], summary["verdicts"]
    crashed = [words(item["check"]) for item in summary["checks"] if item["status"] == "crashed"]
    people = [item for item in summary["checks"] if item["check"] == "annotators" and item["flagged"]]
    rows = [
        (crashed, f"Find out why {', '.join(crashed)} crashed.", "", "checks"),
        (not summary["gate"]["open"], "Mend what blocks the gate, then check again.", "assay check", "gate"),
        (
            verdicts["relabel"],
            f"Ask an annotator about {plural(verdicts['relabel'], 'example', 'examples')}, most doubtful first.",
            "assay review push",
            "next",
        ),
        (
            people,
            f"Talk with {plural(people[0]['flagged'] if people else 0, 'annotator', 'annotators')} whose answers stand out.",
            "",
            "annotators",
        ),
        (
            counts["quarantined"],
            f"Mend {plural(counts['quarantined'], 'record', 'records')} that could not be read.",
            "",
            "quarantine",
        ),
        (
            counts["unannotated"],
            f"Annotate {plural(counts['unannotated'], 'example', 'examples')} that nobody has answered.",
            "",
            "splits",
        ),
        (summary["gate"]["open"], "Publish what is fit as the next dataset version.", "assay release", "splits"),
    ]
    return [{"text": text, "command": command, "section": section} for when, text, command, section in rows if when]
