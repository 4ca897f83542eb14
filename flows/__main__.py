"""`python -m flows` and the console script `assay`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    _refuse_foreign_packages()
    from flows.cli import run

    sys.exit(run())


def _refuse_foreign_packages() -> None:
    """A distribution called `validators` exists on PyPI; if it shadows ours, nothing would work, and not say why."""
    import importlib.util

    ours = Path(__file__).parent.parent
    for name in ("pipeline", "validators"):
        found = importlib.util.find_spec(name)
        place = Path(found.origin).parent.parent if found and found.origin else None
        if place != ours:
            sys.stderr.write(
                f"assay: the package {name!r} that Python finds is another one, in {place}: uninstall that distribution "
                f"(`pip uninstall {name}`) or install Assay in an environment of its own.\n"
            )
            sys.exit(2)


if __name__ == "__main__":
    main()
