"""A real Label Studio for the tests that need one, and the shared data where it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.label_studio import server
from pipeline.label_studio.connection import Connection


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A server of its own, started from the template; its environment is made first where it is missing."""
    folder = tmp_path_factory.mktemp("servers")
    running = server.up(name="tests", folder=folder)
    yield Connection(running.url, running.token)
    server.down("tests", folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real annotated data: ASSAY_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("ASSAY_SHARED") or Path(__file__).parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data in {folder}")
    return folder
