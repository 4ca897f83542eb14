"""Train, validation and test: drawn once, by group, stratified by label, seeded; the test split is then frozen.

An example in the parent's test split stays there; nothing joins it. What is new goes to train or validation, with its group.
A split declared in the data stands where there is one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.types import IntArray


def assign(
    examples: pd.DataFrame,
    labels: pd.Series,
    groups: IntArray,
    *,
    test: float,
    validation: float,
    seed: int,
    frozen: dict[int, str],
) -> NDArray[np.object_]:
    """(n,) split of each example: train, validation, test, or "" for an example without an answer.

    examples: example_id, split (declared, or ""). labels: (n,) text, NaN without an answer. groups: (n,) what must stay
    together. frozen: example id → split in the parent version.
    """
    answered = labels.notna().to_numpy()
    declared = examples["split"].to_numpy(dtype=object)
    known = np.array([frozen.get(int(example), "") for example in examples["example_id"]], dtype=object)
    split = np.where(known != "", known, declared)
    open_rows = answered & (split == "")
    first = not frozen and not (declared != "").any()
    split[open_rows] = _draw(labels, groups, split, open_rows, test if first else 0.0, validation, seed)
    split[~answered & (known == "")] = ""
    return split.astype(object)


def _draw(
    labels: pd.Series,
    groups: IntArray,
    split: NDArray[np.object_],
    open_rows: NDArray[np.bool_],
    test: float,
    validation: float,
    seed: int,
) -> NDArray[np.object_]:
    """Whole groups at a time. A group with a member in a split already follows it, but never into a frozen test split: there
    it goes to train, where the leakage check finds it."""
    homes = {group: home for group, home in zip(groups[split != ""], split[split != ""], strict=True) if home != "test"}
    drawn = split.copy()
    todo = pd.DataFrame(
        {"row": np.flatnonzero(open_rows), "group": groups[open_rows], "label": labels[open_rows].to_numpy()}
    )
    for label, part in todo.groupby("label", sort=True):
        members = part.groupby("group")["row"].apply(list)
        order = np.random.default_rng([seed, _number(str(label))]).permutation(len(members))
        wanted = {"test": test * len(part), "validation": validation * len(part)}
        for position in order:
            group, rows = members.index[position], members.iloc[position]
            home = homes.setdefault(group, _next(wanted, len(rows)))
            if home in wanted:
                wanted[home] -= len(rows)
            drawn[rows] = home
    return drawn[open_rows]


def _next(wanted: dict[str, float], size: int) -> str:
    """The split that still lacks at least half of this group; a class with three examples gives one to each."""
    for name in ("test", "validation"):
        if wanted[name] >= size / 2:
            return name
    return "train"


def _number(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())


def merge_groups(near: IntArray, keys: pd.Series) -> IntArray:
    """(n,) the smallest row that a row must stay together with: through near-duplicates, equal group keys, or both.

    `near`: (n,) group numbers. `keys`: (n,) the project's group key as text, "" for none.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(near)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    links = [_links(near), _links(np.where(keys == "", "", keys.to_numpy(dtype=object)))]
    first, second = np.concatenate(links, axis=1)
    graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    smallest = np.full(component.max() + 1, n, dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(n))
    result: IntArray = smallest[component]
    return result


def _links(names: NDArray[np.generic]) -> IntArray:
    """(2, m): each row and the first row of the same name; rows named "" have none."""
    first: dict[object, int] = {}
    pairs = [(row, first.setdefault(name, row)) for row, name in enumerate(names.tolist()) if name != ""]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T
