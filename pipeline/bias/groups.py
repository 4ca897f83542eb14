"""Groups of examples: those the project's slices name, those where two slices meet, and those whose text mentions somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """members: (n,) rows inside. others: (n,) rows it is held against: outside, and with a value in the same slice."""

    slice: str
    name: str
    members: Mask
    others: Mask

    @property
    def subject(self) -> str:
        return f"{self.slice}={self.name}"

    @property
    def n(self) -> int:
        return int(self.members.sum())


def groups(table: pd.DataFrame, slices: Sequence[str]) -> list[Group]:
    """One per value of each slice column, sorted by value; a missing value is no group."""
    found = []
    for name in slices:
        value = table[name].mask(table[name].isna() | (table[name] == "")).astype("object")
        known = value.notna().to_numpy(bool)
        text = value.astype("str").to_numpy()
        for group in sorted(set(text[known])):
            members = known & (text == group)
            found.append(Group(name, str(group), members, known & ~members))
    return found


def crossed(found: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Pairs of groups of different slices."""
    return [(a, b) for a, b in combinations(found, 2) if a.slice != b.slice]


def meeting(a: Group, b: Group) -> Group:
    """The rows in both groups, against all other rows with a value in both slices."""
    members = a.members & b.members
    known = (a.members | a.others) & (b.members | b.others)
    return Group(f"{a.slice}={a.name} & {b.slice}", b.name, members, known & ~members)


def enough(group: Group, min_n: int) -> bool:
    return group.n >= min_n and int(group.others.sum()) >= min_n
