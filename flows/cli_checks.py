"""`assay checks`: what is asked of a corpus, and what the answers lead to."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.console import say
from flows.options import HERE, Json, finish


def checks(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this one, with its settings")] = None,
    folder: Annotated[Path, typer.Option("--project", "-C", metavar="DIR", help="As this project sets them")] = HERE,
    as_json: Json = False,
) -> None:
    """List the checks, or show one: its question, its settings and what the policy makes of its findings."""
    from pipeline.errors import CheckError, unknown
    from validators.check import all_checks

    known = all_checks()
    if name is not None and name not in known:
        raise CheckError(unknown("check", name, known))
    rows = _rows(folder)
    if name is None:
        finish({"checks": rows}, as_json, _listed)
    finish(next(row for row in rows if row["check"] == name), as_json, _one)


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Every check as the project in `folder` sets it, or by default where there is none."""
    from pipeline import config, policy
    from validators.check import all_checks, settings_for, subjects

    there = (folder / config.FILE).is_file()
    project = config.load(folder) if there else None
    settings = settings_for(project.checks if project else {}, str(folder / config.FILE))
    action = policy.actions(project.policy if project else {}, subjects())
    return [
        {
            "check": name, "question": item.question, "subject": item.subject, "on": name in settings,
            "policy": action[name], "settings": settings.get(name, item.settings), "defaults": item.settings,
            "about": inspect.cleandoc(item.run.__doc__ or ""),
        }
        for name, item in all_checks().items()
    ]  # fmt: skip


def _listed(body: dict[str, Any]) -> None:
    for row in body["checks"]:
        say(f"{row['check']} (about: {row['subject']}; {row['policy'] if row['on'] else 'off'})\n    {row['question']}")
    say("\nOne of them with its settings: `assay checks NAME`. Set them in project.yaml: `checks: {NAME: {setting: value}}`,")
    say("`checks: {NAME: false}` to switch one off, `policy: {NAME: note}` for what its findings lead to.")


def _one(body: dict[str, Any]) -> None:
    say(f"{body['check']}: {body['question']}\n\n{body['about']}\n")
    say(f"About: {body['subject']}. Policy: {body['policy'] if body['on'] else 'switched off'}.")
    for key, value in body["settings"].items():
        default = body["defaults"][key]
        say(f"  {key}: {value}" + (f" (default {default})" if value != default else ""))
