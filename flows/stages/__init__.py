"""The stages of the loop as plain functions: from references and flat values to a reference.

Each opens what earlier stages published, does its work once (results are named by what they were made from) and returns
the name of what it published. `flows/flywheel.py` wraps them for Prefect; the command line and the tests call them.
"""

from collections.abc import Callable

Progress = Callable[[int, int], None]


def quiet(done: int, total: int) -> None:
    """The progress of those who do not look."""
