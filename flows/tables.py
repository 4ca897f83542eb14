"""Rows from a file that a person has: csv, json, jsonl or parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.errors import SourceError

READERS = ("csv", "json", "jsonl", "parquet")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Each row as a JSON-able object; of csv every value is text. SourceError, with the file's name, for anything else."""
    kind = file.suffix.lstrip(".").lower()
    if kind not in READERS:
        raise SourceError(f"{file} is none of {', '.join(READERS)}: convert it first.")
    try:
        rows = _rows(file, kind)
    except (OSError, ValueError) as error:
        raise SourceError(f"{file} cannot be read as {kind}: {str(error).splitlines()[0]}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(f"{file} must hold rows: a list of objects, each of fields and their values.")
    return rows


def _rows(file: Path, kind: str) -> Any:
    import pandas as pd

    if kind == "json":
        return json.loads(file.read_text(encoding="utf-8-sig"))
    if kind == "jsonl":
        # not splitlines(), which also splits at characters that texts may hold, such as U+2028
        return [json.loads(line) for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    table = pd.read_csv(file, dtype=str, keep_default_na=False) if kind == "csv" else pd.read_parquet(file)
    return json.loads(table.to_json(orient="records", double_precision=15))
