"""How many of 4,000 planted copies among 20,000 texts are found, how many of what is found was planted, at what cost.

    python tests/benchmarks/duplicates.py

Texts are 4 to 20 words drawn from 3,000 invented ones, so that none is like another but the planted copies: the shorter a
text, the more an edit changes it. On real questions, see tests/test_check_duplicates.py. Beside ours: a hash of the
normalised text, and datasketch with the same shingles and bands where it is installed.
"""

from __future__ import annotations

import importlib.util
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from planted import EDITS  # noqa: E402

from pipeline.evidence.duplicates import exact_groups, near_groups, normalise  # noqa: E402
from pipeline.evidence.minhash import BANDS, PERMUTATIONS, shingles  # noqa: E402

Groups = list[int]


def texts(size: int = 16_000, copies: int = 4_000, seed: int = 1) -> tuple[list[str], dict[str, list[tuple[int, int]]]]:
    """The texts, and for each kind of edit the (original, copy) rows."""
    draw = random.Random(seed)
    words = ["".join(draw.choice("abcdefghiklmnoprstuvw") for _ in range(draw.randrange(3, 9))) for _ in range(3000)]
    out = [" ".join(draw.choices(words, k=draw.randrange(4, 21))) for _ in range(size)]
    planted: dict[str, list[tuple[int, int]]] = {name: [] for name in EDITS}
    for number, original in enumerate(draw.sample(range(size), copies)):
        name = list(EDITS)[number % len(EDITS)]
        planted[name].append((original, len(out)))
        out.append(EDITS[name](out[original], draw))
    return out, planted


def by_hash(rows: list[str]) -> Groups:
    return list(exact_groups(rows).tolist())


def ours(rows: list[str]) -> Groups:
    return list(near_groups(rows)[0].tolist())


def by_datasketch(rows: list[str]) -> Groups:
    from datasketch import MinHash, MinHashLSH

    index, groups = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS)), []
    tokens = [[gram.encode() for gram in shingles(normalise(row))] for row in rows]
    for row, sketch in enumerate(MinHash.bulk(tokens, num_perm=PERMUTATIONS)):
        groups.append(min([row, *index.query(sketch)]))
        index.insert(row, sketch)
    return groups


def measure(
    name: str, method: Callable[[list[str]], Groups], rows: list[str], planted: dict[str, list[tuple[int, int]]]
) -> None:
    start = time.process_time()
    groups = method(rows)
    cpu = time.process_time() - start
    copies = [pair for pairs in planted.values() for pair in pairs]
    found = {row for row, group in enumerate(groups) if group != row}
    precision = len(found & {copy for _, copy in copies}) / max(len(found), 1)
    recall = sum(groups[a] == groups[b] for a, b in copies) / len(copies)
    kinds = [sum(groups[a] == groups[b] for a, b in pairs) / len(pairs) for pairs in planted.values()]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:16} {precision:9.3f} {recall:7.3f} {cpu:7.2f} {memory:9.0f} "
        + " ".join(f"{kind:11.3f}" for kind in kinds)
    )


def main() -> None:
    rows, planted = texts()
    heads = " ".join(f"{name:>11}" for name in EDITS)
    print(
        f"{len(rows):,} texts, {sum(map(len, planted.values())):,} planted copies; peak memory is the process's so far"
    )
    print(f"{'method':16} {'precision':>9} {'recall':>7} {'CPU s':>7} {'peak MiB':>9} {heads}")
    measure("normalised hash", by_hash, rows, planted)
    measure("ours", ours, rows, planted)
    if importlib.util.find_spec("datasketch"):
        measure("datasketch", by_datasketch, rows, planted)


if __name__ == "__main__":
    main()
