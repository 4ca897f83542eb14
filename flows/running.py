"""`assay run`: the flow, on the Prefect server that PREFECT_API_URL names, or on an ephemeral one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flows.place import open_place

# Set before Prefect is imported; what the user has set stands.
DEFAULTS = {
    # 20 seconds by default, which a new Prefect home on a busy machine misses.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # What went wrong is told in one sentence at the end; the traceback is in the run's log on the Prefect server.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}


def run_flywheel(folder: Path, *, hidden: bool) -> dict[str, Any]:
    """The flow's result: ids, gate, promotion, and what was sent back."""
    place = open_place(folder)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from flows.flywheel import flywheel

    result: dict[str, Any] = flywheel(str(place.folder), place.project.name, hidden)
    return result
