"""What the checks on bias found, in plain words and plots: for each check, the sentences and the plots of its facts.

Facts come from a file that anything may have written: a key that is absent or of another kind leaves its sentence or plot out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.report.charts import Dot, dots
from pipeline.report.render import Unit

Row = Mapping[str, Any]
Names = Mapping[str, str]  # annotator id -> name
Told = tuple[list[str], list[dict[str, Any]]]
SHOWN, CALM = 12, 4  # rows of a plot: what is flagged, or if nothing is, the largest few to see how small they are
MEASURES = {
    "disagreement": "annotators disagree", "doubted": "a model doubts the label", "uncertainty": "the consensus is unsure",
    "error": "wrong", "overconfidence": "too sure", "false positive": "wrongly says", "false negative": "misses",
}  # fmt: skip
LITTLE, MUCH = 0.6, 0.8  # area under the curve: below .6 hardly more than a guess; .8 “excellent”: Hosmer and Lemeshow (2000)


def _list(facts: Row, key: str) -> list[Row]:
    found = facts.get(key)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _size(key: str) -> Callable[[Row], float]:
    return lambda row: abs(_number(row.get(key)) or 0.0)


def _worse(key: str) -> Callable[[Row], float]:
    return lambda row: _number(row.get(key)) or 0.0


def _shown(rows: Sequence[Row], size: Callable[[Row], float], *, calm: int = CALM) -> list[Row]:
    """What is flagged, largest first, or else the largest `calm`."""
    ordered = sorted(rows, key=lambda row: (not row.get("flagged"), -size(row)))
    flagged = sum(bool(row.get("flagged")) for row in rows)
    return ordered[: min(flagged, SHOWN) or calm]


def _count(rows: Sequence[Row], some: str, none: str) -> str:
    """One sentence: how many of the rows stand out ({} is the number), or that none does."""
    flagged = sum(bool(row.get("flagged")) for row in rows)
    return some.format(f"{flagged:,} of {len(rows):,}") if flagged else none


def _dot(row: Row, label: str, value: str, reference: str = "", n: str = "n") -> Dot:
    size, other = row.get(n), _number(row.get(reference)) if reference else None
    middle, low, high = (_number(row.get(key)) for key in (value, "low", "high"))
    count = size if isinstance(size, int) else None
    return Dot(label, middle, low, high, count, bool(row.get("flagged")), other)


def _place(row: Row) -> str:
    return f"{row.get('slice')} {row.get('group')}"


def _plot(
    rows: Sequence[Dot], title: str, note: str = "", *, unit: Unit = "share", zero: bool = False
) -> dict[str, Any]:
    return dots(rows, title=title, note=note, unit=unit, reference=0.0 if zero else None)


def representation(facts: Row, names: Names) -> Told:
    rows = _list(facts, "shares")
    stated = [row for row in rows if row.get("reference") is not None]
    said = [
        _count(
            stated,
            "{} groups are in the data clearly more or less often than the reference says.",
            "Every group is in the data about as often as the reference says.",
        )
        if stated
        else "No reference is stated, so nobody can say whether a group is missing; this is who is there. To compare, state "
        "the shares that should be under checks: representation: reference in project.yaml."
    ]
    if few := _number(facts.get("small_count")):
        least = "; ".join(f"{row.get('group')} ({row.get('n')})" for row in _list(facts, "small")[:3])
        said.append(
            f"In {few:,.0f} of the {facts.get('met')} places where two groups meet there are fewer than "
            f"{facts.get('min_n')} examples, too few to say anything about them; the fewest: {least}."
        )
    drawn = _shown(stated, _size("effect")) if stated else sorted(rows, key=_size("share"))[:SHOWN]
    note = "The upright tick is the reference." if stated else "The smallest groups first."
    return said, [_plot([_dot(row, _place(row), "share", "reference") for row in drawn], "Share of the examples", note)]


def slice_labels(facts: Row, names: Names) -> Told:
    tests, met, means = (_list(facts, key) for key in ("tests", "intersections", "means"))
    said = []
    if tests:
        none = "No label comes up clearly more or less often in one group."
        said.append(_count(tests, "{} label rates differ clearly from the rest of their slice.", none))
    if met:
        none = "Where two groups meet, labels come up about as often as the two explain by themselves."
        said.append(_count(met, "Where two groups meet, {} label rates are not what the two explain by themselves.", none))
    if means:
        none = "No group is rated clearly higher or lower."
        said.append(_count(means, "{} mean ratings differ clearly from the rest of their slice.", none))
    rates = [_dot(row, f"{_place(row)}: {row.get('label')}", "rate", "reference") for row in _shown(tests, _size("effect"))]
    joint = [
        _dot(row, f"{row.get('slice')}={row.get('group')}: {row.get('label')}", "rate", "reference")
        for row in _shown(met, _size("effect"), calm=0)
    ]
    rated = [_dot(row, f"{_place(row)}: {row.get('rating')}", "difference") for row in _shown(means, _size("effect"))]
    told = [_dot(row, str(row.get("slice")), "cramers_v") for row in _list(facts, "association")]
    return said, [
        _plot(told, "How far a slice says the label", "Cramér’s V: 0 is not at all, 1 is entirely.", unit="value"),
        _plot(rates, "Rate of a label in a group", "The upright tick is the rate elsewhere."),
        _plot(joint, "Where two groups meet", "The upright tick is what the two explain by themselves."),
        _plot(rated, "Ratings against the other groups", unit="value", zero=True),
    ]


def term_association(facts: Row, names: Names) -> Told:
    rows = _list(facts, "terms")
    said = _count(
        rows,
        "{} labels hang clearly on whether a text mentions a group of people. A model will learn that link.",
        "No label hangs clearly on whether a text mentions a group of people.",
    )
    made = [
        _dot(row, f"mentions “{row.get('group')}”: {row.get('label')}", "rate", "reference")
        for row in _shown(rows, _size("effect"))
    ]
    note = "The upright tick is the rate in texts that do not."
    return [said], [_plot(made, "Rate of a label in texts that mention a group", note)]


def slice_quality(facts: Row, names: Names) -> Told:
    rows = _list(facts, "quality")
    said = _count(
        rows,
        "In {} comparisons a group’s labels are clearly worse than those of other examples with the same label.",
        "No group’s labels are clearly worse than the others’.",
    )
    made = [
        _dot(row, f"{_place(row)}: {MEASURES.get(str(row.get('measure')), '')}", "difference")
        for row in _shown(rows, _worse("difference"))
    ]
    return [said], [_plot(made, "How much worse, in points", "0 is as good as elsewhere.", unit="points", zero=True)]


def artefacts(facts: Row, names: Names) -> Told:
    probe, rows, listed = facts.get("probe"), _list(facts, "features"), _list(facts, "words")
    said = []
    if isinstance(probe, dict) and _number(probe.get("value")) is not None:
        value, low, high = (_number(probe.get(key)) or 0.0 for key in ("value", "low", "high"))
        more = "some of it" if value < MUCH else "much: a model can learn that instead of the text"
        much = "little" if value < LITTLE else more
        said.append(
            "Of two examples with different labels, a model that sees nothing but length, capitals, digits and punctuation tells "
            f"which is which {value:.0%} of the time ({low:.0%} to {high:.0%}; guessing gives 50%). That is {much}."
        )
    none = "No single feature or field goes clearly with the label."
    said.append(_count(rows, "{} features or fields go clearly with the label.", none))
    if listed:
        first = ", ".join(
            f"“{row.get('word')}” → {row.get('label')} ({_number(row.get('share')) or 0:.0%} of {row.get('n')})"
            for row in listed[:6]
        )
        said.append(
            f"The words that say most: {first}. Whether they are the subject itself or a trace of how the texts were collected, "
            "only a person can tell."
        )
    made = [_dot(row, str(row.get("name")), "strength") for row in _shown(rows, _size("strength"))]
    return said, [_plot(made, "How far a feature says the label", "0 is not at all, 1 is entirely.", unit="value")]


def toxicity(facts: Row, names: Names) -> Told:
    some = "The classifier calls texts of {} groups toxic clearly more often than others."
    none = "The classifier calls no group’s texts toxic clearly more often than others."
    return _more_than_elsewhere(facts, some, none, "How much more often, in points", "0 is as elsewhere.")


def _more_than_elsewhere(facts: Row, some: str, none: str, title: str, note: str) -> Told:
    rows = _list(facts, "groups")
    made = [_dot(row, _place(row), "difference") for row in _shown(rows, _worse("difference"))]
    return [_count(rows, some, none)], [_plot(made, title, note, unit="points", zero=True)]


def annotator_groups(facts: Row, names: Names) -> Told:
    rows, by_text = _list(facts, "groups"), _list(facts, "by_text")
    said = [
        _count(
            rows,
            "In {} comparisons, groups of annotators answer the same examples clearly differently: the labels would be others if "
            "others had been asked.",
            "No group of annotators answers the same examples clearly differently.",
        )
    ]
    if by_text:
        none = "What a text is about makes no clear difference to that."
        said.append(_count(by_text, "{} of these differences depend clearly on what the text is about.", none))
    said.append("Intervals say how other people of these groups would answer; where few people were asked they are wide.")
    unit: Unit = "points" if facts.get("shares") else "value"
    made = [
        _dot(row, f"{row.get('attribute')} {row.get('group')}: {row.get('label')}", "difference", n="people")
        for row in _shown(rows, _size("effect"))
    ]
    apart = [
        _dot(
            row, f"{row.get('attribute')} {row.get('group')}, {row.get('slice')} {row.get('texts')}: {row.get('label')}",
            "difference", n="people",
        )
        for row in _shown(by_text, _size("effect"), calm=0)
    ]  # fmt: skip
    note = "On the same examples; n is the people in the group."
    return said, [
        _plot(made, "Difference from the other annotators", note, unit=unit, zero=True),
        _plot(apart, "How much larger the difference is with such texts", unit=unit, zero=True),
    ]


def annotators(facts: Row, names: Names) -> Told:
    rows = _list(facts, "bias")
    said = _count(
        rows,
        "{} comparisons show an annotator who treats groups of examples differently from the others.",
        "No annotator gives a label clearly more often in one group than the others give it to the same examples.",
    )
    made = [
        _dot(
            row, f"{names.get(str(row.get('annotator')), row.get('annotator'))}, {_place(row)}: {row.get('label')}", "rate",
            "others",
        )
        for row in _shown(rows, _size("difference"), calm=0)
    ]  # fmt: skip
    note = "The upright tick is the others’ rate for the same examples."
    return [said], [_plot(made, "Rate of a label in a group, by annotator", note)]


def model_bias(facts: Row, names: Names) -> Told:
    rows, served, worst = _list(facts, "gaps"), _list(facts, "served"), facts.get("worst_group")
    said = [
        _count(
            rows,
            "In {} comparisons a model that has not seen the label serves a group clearly worse.",
            "A model that has not seen the labels serves all groups about as well.",
        )
    ]
    if isinstance(worst, dict) and _number(worst.get("error")):
        said.append(f"Worst served is {_place(worst)}: wrong in {worst['error']:.0%} of {worst.get('n')} examples.")
    made = [_dot(row, _gap(row), "difference") for row in _shown(rows, _worse("difference"))]
    errors = [_dot(row, _place(row), "error") for row in sorted(served, key=_size("error"), reverse=True)[:SHOWN]]
    return said, [
        _plot(made, "How much worse than elsewhere, in points", "0 is as well as elsewhere.", unit="points", zero=True),
        _plot(errors, "Share of wrong answers in a group", "Worst first."),
    ]


def _gap(row: Row) -> str:
    label = f" “{row['label']}”" if row.get("label") else ""
    return f"{_place(row)}: {MEASURES.get(str(row.get('measure')), '')}{label}"


def counterfactual(facts: Row, names: Names) -> Told:
    rows, flips, least = _list(facts, "names"), _list(facts, "flips"), _number(facts.get("min_difference"))
    none = "No name moves a label clearly" + (f" and by {least * 100:.3g} points or more" if least else "")
    if rows:
        none += f"; the largest difference is {max(map(_size('difference'), rows)) * 100:.1f} points"
    said = [_count(rows, "{} combinations of a name and a label move clearly with the name alone.", none + ".")]
    total, flipped = (sum(int(_number(row.get(key)) or 0) for row in flips) for key in ("sentences", "flipped"))
    if total:
        said.append(f"In {flipped:,} of {total:,} sentences the answer changes if one group’s name stands for another’s.")
    made = [_dot(row, f"“{row.get('name')}”: {row.get('label')}", "difference") for row in _shown(rows, _size("difference"))]
    note = "The same sentences, nothing else changed; n is sentences."
    return said, [_plot(made, "Probability with this name, against others of its kind", note, unit="points", zero=True)]


def disparate_removal(facts: Row, names: Names) -> Told:
    some = "{} groups are kept at less than four fifths of the rate of the others."
    none = "No group loses clearly more than the others."
    return _more_than_elsewhere(facts, some, none, "Removed more than elsewhere, in points", "0 is as much as elsewhere.")


ANSWERS: dict[str, Callable[[Row, Names], Told]] = {
    "representation": representation, "slice_labels": slice_labels, "term_association": term_association,
    "slice_quality": slice_quality, "artefacts": artefacts, "toxicity": toxicity, "annotator_groups": annotator_groups,
    "annotators": annotators, "model_bias": model_bias, "counterfactual": counterfactual,
    "disparate_removal": disparate_removal,
}  # fmt: skip
