"""Who is in the data, and who is missing?

Against stated shares (setting `reference`, such as `{region: {north: 0.5, south: 0.5}}`: the population, or whom the model will
serve) a group can be too small or too large. Without a reference there is no right share: then shares are told with
intervals, and where two slices meet in a few examples only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.bias import groups as grouping
from pipeline.bias.groups import Group
from pipeline.bias.rates import corrected, worst_first
from pipeline.errors import CheckError, unknown
from pipeline.statistics import cohens_h, wilson
from pipeline.types import Corpus
from validators.check import Report, Skip, check, findings

Row = dict[str, Any]
Reference = Mapping[str, Mapping[str, float]]


@check("representation", "Which groups are in the data more or less often than they should be?", subject="slice")
def representation(
    corpus: Corpus,
    *,
    reference: dict[str, dict[str, float]] | None = None,  # slice → group → share it should have; they need not add up to 1
    alpha: float = 0.05,
    min_effect: float = 0.2,  # Cohen's h, small: .10 against .05, .50 against .40
    min_n: int = 30,  # with 30, a rate in the group is known to ±18 points at best (Wilson, 95 %)
) -> Report:
    """One row per group of each slice. With a reference, severity is how much smaller the group is than it should be, as a
    share of what it should be (at most 1), or how much larger, as a share of what it is; flagged on the corrected p-value
    (binomial; Benjamini–Hochberg) and Cohen's h. Without one nothing is flagged, and severity is 0. CheckError for a slice in
    the reference that the project does not have."""
    if not corpus.slices:
        raise Skip("The project defines no slices.")
    table = corpus.examples.sort_values("example_id", ignore_index=True)
    found = grouping.groups(table, corpus.slices)
    if not found:
        raise Skip("No example has a value in any slice.")
    rows = [_share(group, None) for group in found]
    if reference:
        rows = _against(found, reference, corpus.slices)
    tested = [row for row in rows if row["reference"] is not None]
    corrected(tested)
    for row in rows:
        far = row["effect"] is not None and abs(row["effect"]) >= min_effect
        row["flagged"] = bool(far and row["p"] < alpha)
    met = [grouping.meeting(a, b) for a, b in grouping.crossed(found)]
    few = sorted((group for group in met if group.n < min_n), key=lambda group: (group.n, group.subject))
    facts = {
        "shares": worst_first(rows), "tested": len(tested), "smallest_group": min(row["n"] for row in rows),
        "small": [{"group": group.subject, "n": group.n} for group in few[:50]], "small_count": len(few),
        "met": len(met), "min_n": min_n,
        "worst_gap": max((abs(row["share"] - row["reference"]) for row in tested), default=None),
    }  # fmt: skip
    return Report(findings(map(_row, rows)), facts)


def _share(group: Group, wanted: float | None) -> Row:
    from scipy.stats import binomtest

    n = group.n + int(group.others.sum())
    share = wilson(group.n, n)
    effect = None if wanted is None else float(cohens_h(share.value, wanted))
    p = None if wanted is None else float(binomtest(group.n, n, wanted).pvalue)
    return {
        "slice": group.slice, "group": group.name, "n": group.n, "of": n, "share": share.value, "low": share.low,
        "high": share.high, "reference": wanted, "effect": effect, "p": p,
    }  # fmt: skip


def _against(found: Sequence[Group], reference: Reference, slices: Sequence[str]) -> list[Row]:
    """The groups that are there with the share each should have, if one is stated, and those that are not there at all."""
    rows = []
    for name, shares in reference.items():
        if name not in slices:
            raise CheckError(f"project.yaml: checks.representation.reference: {unknown('slice', name, slices)}")
        for group, share in shares.items():
            if not 0 <= share <= 1:
                raise CheckError(
                    f"project.yaml: checks.representation.reference.{name}.{group}: {share} is no share between 0 and 1."
                )
            mine = next((one for one in found if (one.slice, one.name) == (name, group)), None)
            known = [one for one in found if one.slice == name]
            if mine is None and known:
                everybody = known[0].members | known[0].others
                mine = Group(name, group, ~(everybody | True), everybody)
            if mine is not None:
                rows.append(_share(mine, float(share)))
    named = {(row["slice"], row["group"]) for row in rows}
    return rows + [_share(group, None) for group in found if (group.slice, group.name) not in named]


def _row(row: Row) -> Row:
    share, wanted = row["share"], row["reference"]
    severity = 0.0
    if row["flagged"]:
        severity = 1 - share / wanted if share < wanted else 1 - wanted / share
    said = f"{row['n']:,} of {row['of']:,} examples ({share:.1%}, {row['low']:.1%} to {row['high']:.1%})"
    told = f"{said}; the reference says {wanted:.1%}." if wanted is not None else f"{said}."
    return {
        "subject_id": f"{row['slice']}={row['group']}", "severity": severity, "flagged": row["flagged"], "reason": told,
        "suggestion": "",
    }  # fmt: skip
