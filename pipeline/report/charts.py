"""Dot-and-whisker rows and stacked bars as inline SVG.

Positions are percentages, so that a plot fits a phone and a desk without scaling its text. Colours are CSS classes: a
plot follows the page into the dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.report.render import SHOW, Unit, cut, span

LONGEST_CHART = 40  # rows drawn; the rest is counted and named


@dataclass(frozen=True)
class Dot:
    """One row: a value with its interval; `reference` is a tick to compare with."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None = None
    flagged: bool = False
    reference: float | None = None


def dots(
    rows: Sequence[Dot], *, title: str, unit: Unit, note: str = "", reference: float | None = None
) -> dict[str, Any]:
    """What the `chart` macro draws: a row each, an axis, and the numbers for the table under it.

    unit: what the values are: shares in [0, 1], differences of shares in points, or numbers as they are.
    reference: a value that a dashed line marks in all rows.
    """
    drawn = rows[:LONGEST_CHART]
    low, high, ticks = _axis(drawn, reference)
    marks = [_share(tick, low, high) for tick in ticks]
    show = SHOW[unit]
    return {
        "title": title,
        "note": note,
        "left_out": len(rows) - len(drawn),
        "has_n": any(row.n is not None for row in drawn),
        "rows": [
            {
                "label": row.label,
                "n": row.n,
                "flagged": row.flagged,
                "value": show(row.value),
                "interval": span({"low": row.low, "high": row.high}, unit),
                "svg": _row(row, low, high, marks, reference, f"{show(row.value)}"),
            }
            for row in drawn
        ],
        "axis": _labels(zip(marks, [show(tick).replace(".0%", "%") for tick in ticks], strict=True)),
    }


def _axis(rows: Sequence[Dot], reference: float | None) -> tuple[float, float, list[float]]:
    """From 0 unless everything lies far above it, so that near values can be told apart."""
    seen = [x for row in rows for x in (row.value, row.low, row.high, row.reference, reference) if x is not None]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    low = low if low < 0 or low > 0.4 else 0.0
    high = high if high > low else low + 1.0
    step = _step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return first * step, last * step, [round(at * step, 10) for at in range(first, last + 1)]


def _step(wanted: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    base = 10.0 ** math.floor(math.log10(max(wanted, 1e-6)))
    return next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= wanted - 1e-12)


def _share(value: float, low: float, high: float) -> str:
    return f"{100 * (value - low) / (high - low):.2f}%"


def _row(row: Dot, low: float, high: float, marks: list[str], reference: float | None, text: str) -> Markup:
    parts = [_line(mark, "0", "100%", "grid") for mark in marks]
    if reference is not None:
        parts.append(_line(_share(reference, low, high), "0", "100%", "reference"))
    if row.low is not None and row.high is not None:
        start, end = _share(row.low, low, high), _share(row.high, low, high)
        parts.append(Markup('<line class="whisker" x1="{}" x2="{}" y1="11" y2="11"/>').format(start, end))
    if row.reference is not None:
        parts.append(_line(_share(row.reference, low, high), "4", "18", "tick"))
    if row.value is not None:
        parts.append(Markup('<circle class="dot" cx="{}" cy="11" r="4"/>').format(_share(row.value, low, high)))
    return Markup('<svg class="row" role="img"><title>{}: {}</title>{}</svg>').format(
        cut(row.label, 80), text, Markup("").join(parts)
    )


def _line(x: str, top: str, bottom: str, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, x, x, top, bottom)


def _labels(ticks: Iterable[tuple[str, str]]) -> Markup:
    texts = [Markup('<text x="{}" y="12">{}</text>').format(at, text) for at, text in ticks]
    return Markup('<svg class="axis" aria-hidden="true">{}</svg>').format(Markup("").join(texts))


def stacked(parts: Sequence[tuple[str, int]], title: str) -> Markup:
    """One bar of counts side by side; each part's name is its CSS class. An empty frame if all are 0."""
    total = sum(count for _, count in parts)
    drawn, at = [], 0.0
    for name, count in parts:
        width = 100 * count / total if total else 0.0
        if count:
            drawn.append(
                Markup('<rect class="{}" x="{}%" width="{}%" height="100%"/>').format(name, f"{at:.3f}", f"{width:.3f}")
            )
        at += width
    return Markup('<svg class="stacked" role="img"><title>{}</title>{}</svg>').format(
        cut(title, 200), Markup("").join(drawn)
    )


def band(value: float | None) -> int:
    """0 to 4 by fifths of [0, 1], as agreement is usually read. Source: Landis & Koch 1977, the bands."""
    return 0 if value is None else min(max(int(value * 5), 0), 4)
