"""The report's section on bias: of the data, of the annotators, of the model."""

from __future__ import annotations

from typing import Any

from pipeline.report.folder import Run


def section(run: Run) -> dict[str, Any]:
    """What `bias.html.j2` shows."""
    return {}
