"""What Assay finds, beside what its peers find, in one run: one table, method by method.

    python tests/benchmarks/quality.py [--only consensus,labels] [--quick] [--json FILE]

Needs the shared data and the peers (`pip install -c constraints.txt -e '.[bench]'`); a part whose data or peer is absent says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from measured.row import Row

PARTS = sorted(file.stem for file in (Path(__file__).parent / "measured").glob("*.py") if file.stem not in ("row", "__init__"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    options.add_argument("--quick", action="store_true", help="one seed, small data: does it run at all?")
    options.add_argument("--json", type=Path, help="write the rows to this file, too")
    given = options.parse_args()
    wanted = given.only.split(",")
    if unknown := sorted(set(wanted) - set(PARTS)):
        sys.exit(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    rows = []
    for part in wanted:
        for row in _measure(part, given.quick):
            rows.append(row)
            if given.json:
                given.json.write_text(json.dumps([asdict(item) for item in rows], indent=1))


def _measure(part: str, quick: bool) -> Iterator[Row]:
    print(f"\n### {part}\n\n| data | method | measure | value | 95 % | CPU-s | note |\n|---|---|---|---|---|---|---|", flush=True)
    for row in importlib.import_module(f"measured.{part}").rows(quick=quick):
        print(line(row), flush=True)
        yield row


def line(row: Row) -> str:
    interval = "" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"
    cpu = "" if row.cpu is None else f"{row.cpu:.1f}"
    return f"| {row.data} | {row.method} | {row.measure} | {row.value:.3f} | {interval} | {cpu} | {row.note} |"


if __name__ == "__main__":
    main()
