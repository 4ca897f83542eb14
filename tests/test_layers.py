"""Imports run one way, and heavy ones are lazy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What a package may import of our own, besides itself. Inside `pipeline`: the order of the loop.
LAYERS = {
    "flows": {"flows", "validators", "pipeline"},
    "validators": {"validators", "pipeline"},
    "pipeline": {"pipeline"},
}
ORDER = (
    "types", "errors", "statistics", "store", "config", "templates", "reading", "tasks", "sources", "sample", "assignment",
    "label_studio", "consensus", "evidence", "bias", "policy", "fixes", "removal", "review", "reviewed", "versions",
    "training", "evaluation", "report",
)  # fmt: skip
ONLY_IN = {"prefect": "flows", "label_studio_sdk": "pipeline/label_studio"}
LAZY = {
    "torch", "transformers", "peft", "datasets", "cleanlab", "great_expectations", "sklearn", "scipy", "faiss", "rensa",
    "label_studio_sdk", "jinja2",
}  # fmt: skip
# own_expectations.py is nothing but subclasses of Great Expectations' own; the gate imports it when it is asked.
LAZY_EXCEPT = {("jinja2", "pipeline/report"), ("great_expectations", "validators/own_expectations.py")}
FILES = sorted(file for name in LAYERS for file in (ROOT / name).rglob("*.py"))


def imports(file: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = list(tree.body) if top_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{item.name}" for item in node.names}
    return found


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_from_flows_to_validators_to_pipeline(file: Path) -> None:
    layer = file.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in imports(file)} & set(LAYERS)
    assert ours <= LAYERS[layer], f"{file} imports {ours - LAYERS[layer]}"


@pytest.mark.parametrize(
    "file", [f for f in FILES if "pipeline" in f.parts], ids=lambda file: str(file.relative_to(ROOT))
)
def test_inside_pipeline_imports_follow_the_order_of_the_loop(file: Path) -> None:
    parts = file.relative_to(ROOT / "pipeline").parts
    here = parts[0].removesuffix(".py")
    if here == "__init__":
        return
    used = {name.split(".")[1] for name in imports(file) if name.startswith("pipeline.") and name.count(".") >= 1}
    for name in used & set(ORDER):
        assert ORDER.index(name) <= ORDER.index(here), f"{file} imports pipeline.{name}, which comes later"
    assert here in ORDER, f"say where pipeline/{here} stands in ORDER"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_prefect_and_the_sdk_stay_in_their_place_and_heavy_imports_are_lazy(file: Path) -> None:
    shown = file.relative_to(ROOT).as_posix()
    everywhere = {name.split(".")[0] for name in imports(file)}
    for package, place in ONLY_IN.items():
        assert package not in everywhere or shown.startswith(place), f"{shown} imports {package}"
    top = {name.split(".")[0] for name in imports(file, top_only=True)} & LAZY
    top -= {package for package, place in LAZY_EXCEPT if shown.startswith(place)}
    assert not top, f"{shown} imports {top} at the top"


def test_the_help_needs_none_of_the_heavy_packages() -> None:
    code = (
        "import sys; from flows.cli import run; run(['--help']); "
        "print([name for name in ('torch', 'pandas', 'prefect', 'transformers', 'sklearn', 'great_expectations') "
        "if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "whole loop" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "[]"
