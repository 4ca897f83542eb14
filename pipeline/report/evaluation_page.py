"""The evaluation report."""
from pathlib import Path
from typing import Any


def evaluation(folder: Path, context: dict[str, Any]) -> str:
    return ""
