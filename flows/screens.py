"""What each command shows a person: a few lines, and the one next command."""

from __future__ import annotations

from typing import Any

import orjson

from flows.console import interval, say, table, visible
from pipeline.store import Store


def init(body: dict[str, Any]) -> None:
    say(f"Made {body['folder']} from the template {body['template']}.")
    if body["url"]:
        say(f"Next: assay setup {body['folder']}")
        say("  before it, unless that server is the one of `assay server up`:")
        say(f"  export ASSAY_LABEL_STUDIO_TOKEN=… (Account & Settings at {body['url']})")
        return
    say("Next: put the server's address into project.yaml (label_studio: {url: …}), or check an export at once:")
    say(f"  assay check {body['folder']} --source export.json")


def templates(body: dict[str, Any]) -> None:
    for item in body["templates"]:
        base = f", refines {item['refines']}" if item["refines"] else ""
        say(f"{item['name']} (task type {item['task']}{base}; {item['items']} sample items)\n    {item['description']}")
    say("\nOne of them in full: `assay templates NAME`. A project from it: `assay init DIR --template NAME`.")


def template(body: dict[str, Any]) -> None:
    """What it is for, an item as the annotator gets it with its right answer, the guidelines, the configuration."""
    base = f", refines {body['refines']}" if body["refines"] else ""
    say(f"{body['title']} ({body['name']}, task type {body['task']}{base})\n{body['description']}\n")
    say(f"The annotator reads {', '.join(body['fields'])}; the answer is in {', '.join(body['answer'])}.")
    say(f"Sample: {body['items']} items, {body['planted']} of them with planted faults. One of them:\n")
    for name, value in body["example"]["data"].items():
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        say(f"  {name}: {visible(shown)}")
    answer = body["example"]["answer"]
    say(f"  → {visible(answer if isinstance(answer, str) else orjson.dumps(answer).decode())}\n")
    say(body["guidelines"])
    say(body["label_config"])


def synced(body: dict[str, Any]) -> None:
    if "new" not in body:
        say(f"In sync: {body['source']}")
        return
    came = ", ".join(f"{body[name]} {name}" for name in ("added", "changed", "deleted") if body[name])
    say(f"In sync: {body['tasks']} tasks with {body['annotations']} annotations; {came or 'nothing has changed'}.")
    if body.get("brought_home"):
        home = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in body["brought_home"].items() if count)
        say(f"From the annotators' queues: {home or 'nothing new'}.")
    for broken in body["unreadable"]:
        say(f"Task {broken['task_id']} cannot be read: {visible(str(broken['reason']))}")
    if body["drafts"]:
        say(f"{body['drafts']} tasks have an answer that somebody began and did not submit.")


def set_up(body: dict[str, Any]) -> None:
    say(f"Label Studio project {body['project']}: {body['url']}")
    for warning in body["warnings"]:
        say(f"Note: {warning}")


def server(body: dict[str, Any]) -> None:
    say(f"Label Studio runs at {body['url']}")
    say(f"  log in as {body['username']} with the password {body['password']}")
    say(f"  for `assay`: export ASSAY_LABEL_STUDIO_TOKEN={body['token']}")
    say("Stop it with `assay server down`.")


def check(body: dict[str, Any]) -> None:
    rows = [
        (item["check"], item["status"], f"{item['flagged']} of {item['judged']}", item["reason"] or item["question"])
        for item in body["checks"]
    ]
    table("Checks", ("check", "outcome", "flagged", ""), rows)
    verdicts, counts = body["verdicts"], body["counts"]
    say(f"\nExamples: {counts['examples']}, answered {counts['annotated']}, by {counts['annotators']} annotators")
    agreed = body["agreement"]
    said = interval(agreed["overall"]) if agreed["overall"] else f"not measured: {agreed['reason']}"
    say(f"Agreement ({agreed['measure']}): {said}")
    say(f"Verdicts: keep {verdicts['keep']}, relabel {verdicts['relabel']}, drop {verdicts['drop']}")
    if counts["quarantined"]:
        say(f"Quarantined records: {counts['quarantined']}, see quarantine.parquet")
    _gate(body["gate"])
    say(f"Report: {body['report']}")
    if body["gate"]["open"]:
        say(f"Next: assay release {body['folder']}")


def _gate(gate: dict[str, Any]) -> None:
    blocking = [item for item in gate["expectations"] if not item["passed"]]
    closed = f"Gate: closed, {len(blocking)} of {len(gate['expectations'])} expectations do not hold:"
    say("Gate: open" if gate["open"] else closed)
    for item in blocking:
        say(f"  {item['meaning'].rstrip('.')}: observed {_short(item['observed'])}, allowed {item['allowed']}")


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def version(body: dict[str, Any]) -> None:
    say(f"Version {body['number']}: {body['id']} (from check {body['check']})")
    verdicts = ("keep", "relabel", "drop")
    rows = [(split, *(counts.get(name, 0) for name in verdicts)) for split, counts in sorted(body["counts"].items())]
    table("", ("split", *verdicts), rows)
    say("Next: assay train")


def log(body: dict[str, Any]) -> None:
    if not body["versions"]:
        say("There is no version yet: make one with `assay release`.")
        return
    rows = [
        (item["number"], item["id"], item["created_at"], sum(split.get("keep", 0) for split in item["counts"].values()))
        for item in body["versions"]
    ]
    table("Versions, newest first", ("number", "id", "made at", "kept"), rows)


def diff(body: dict[str, Any]) -> None:
    say(f"From version {body['a']['number']} ({body['a']['id']}) to {body['b']['number']} ({body['b']['id']}):")
    say(f"  {len(body['added'])} added, {len(body['removed'])} removed, {body['changed_rows']} changed")
    for title, key in (("Relabelled", "relabelled"), ("Verdict moved", "verdict_moved")):
        if body[key]:
            rows = [(item["example_id"], item["from"], item["to"]) for item in body[key][:50]]
            table(title, ("example", "from", "to"), rows)


def trace(body: dict[str, Any]) -> None:
    say(f"Example {body['example_id']} ({body['split'] or 'no split yet'}):")
    for name, value in body["data"].items():
        say(f"  {visible(name)}: {visible(value)}")
    for one in body["annotations"]:
        answer = visible(one["answer"] or "none")
        say(f"  annotation {one['annotation_id']} by {visible(one['name'])}: {answer} ({one['updated_at']})")
    for one in body["consensus"]:
        say(f"  consensus: {visible(one['answer'])} by {one['method']}, confidence {one['confidence']}")
    for one in body["findings"]:
        if one["flagged"]:
            say(f"  {one['check']}: {visible(one['reason'])}")
    for one in body["versions"]:
        trained = f", trained {', '.join(one['adapters'])}" if one["adapters"] else ""
        say(f"  version {one['number']} ({one['version']}): {one['verdict']} in {one['split']}{trained}")


def adapter_facts(store: Store, adapter: str) -> dict[str, Any]:
    facts: dict[str, Any] = orjson.loads((store.folder("adapters", adapter) / "adapter.json").read_bytes())
    return {"adapter": adapter, "folder": str(store.folder("adapters", adapter)), **facts}


def adapter(body: dict[str, Any]) -> None:
    say(f"Adapter {body['adapter']} ({body['labels_from']} labels of version {body['version']})")
    say(f"  in {body['folder']}")
    say("Next: assay evaluate")


def evaluation(body: dict[str, Any]) -> None:
    _models(body["models"], body["differences"])
    for warning in body["warnings"]:
        say(f"Note: {warning}")
    say(f"Page: {body['page']}")
    say("Next: assay promote")


def _models(models: dict[str, Any], differences: dict[str, Any]) -> None:
    rows = [
        (name, interval(item["accuracy"], percent=True), interval(item["macro_f1"]), _difference(differences.get(name)))
        for name, item in models.items()
    ]
    columns = ("model", "accuracy [95 %]", "macro-F1", "the adapter is better by")
    table(f"On the frozen test split, n = {next(iter(models.values()))['n']}", columns, rows)


def _difference(item: dict[str, Any] | None) -> str:
    if item is None:
        return ""
    low, high = (f"{100 * item[name]:+.1f}" for name in ("low", "high"))
    return f"{100 * item['value']:+.1f} points [{low}, {high}], p = {item['p']:.2f}"


def promotion(body: dict[str, Any]) -> None:
    say("Promoted: the adapter is the champion now." if body["promote"] else "Not promoted.")
    for item in body["reasons"]:
        mark = "yes" if item["passed"] else "NO"
        say(f"  {mark:>3}  {item['rule'].replace('_', ' ')}: {item['meaning']}")


def review(body: dict[str, Any]) -> None:
    if not body["tasks"]:
        say("Nothing to look at again.")
        return
    later = f"; {body['waiting']} more once these are done" if body["waiting"] else ""
    say(f"{body['tasks']} examples to look at again: {body['url']}{later}")


def predicted(body: dict[str, Any]) -> None:
    if body.get("reason"):
        say(f"No suggestions: {body['reason']}.")
        return
    say(
        f"{body['created']} suggestions written, {body['present']} were there already; {body['held_back']} tasks get none, "
        "to measure what suggestions do (`assay predict status`)."
    )
    if body["tab"]:
        say(f"What the model would learn most from comes first in {body['tab']['url']}")


def anchoring(body: dict[str, Any]) -> None:
    """How often annotators say what the model says, where they see it and where they do not."""
    rows = []
    for name, title in (("shown", "suggestion shown"), ("held_back", "held back")):
        group = body[name]
        share = f"{group['value']:.0%} [{group['low']:.0%}, {group['high']:.0%}]" if group["answers"] else "–"
        rows.append((title, group["answers"], share))
    table("Answers equal to the model's", ("", "answers", "equal"), rows)
    found = body["anchoring"]
    if found:
        points = f"{100 * found['value']:+.0f} points [{100 * found['low']:+.0f}, {100 * found['high']:+.0f}]"
        say(f"Anchoring: {points} more agreement where the suggestion is seen.")
    else:
        say(body["reason"])


def flywheel(body: dict[str, Any]) -> None:
    _gate(body["gate"])
    if body["version"]:
        say(f"Version {body['version']}")
    if body["adapter"]:
        say(f"Adapter {body['adapter']}, evaluation {body['evaluation']}")
        promotion(body["promotion"])
    if body["review"]:
        review(body["review"])
    if body["predictions"]:
        predicted(body["predictions"])
    say(f"Report: {body['report']}")


def demo(body: dict[str, Any]) -> None:
    found = [
        (item["fault"].replace("_", " "), item["planted"], item["found"], item["flagged"]) for item in body["planted"]
    ]
    table("Planted faults", ("fault", "planted", "found", "flagged in all"), found)
    counts, verdicts = body["counts"], body["verdicts"]
    say(
        f"\nExamples   {counts['examples']}, of which {counts['annotated']} answered by {counts['annotators']} annotators"
    )
    say(f"Agreement  {interval(body['agreement'])} (Krippendorff's alpha)")
    say(f"Verdicts   keep {verdicts['keep']}, relabel {verdicts['relabel']}, drop {verdicts['drop']}")
    _gate(body["gate"])
    if body["models"]:
        say(f"Version    {body['version']}")
        _models(body["models"], body["differences"])
        promotion(body["promotion"])
        say(f"Back into Label Studio: {body['review']['tasks']} doubts to review, {_suggested(body)} suggestions")
        say(f"Evaluation {body['evaluation_page']}")
    say(f"Report     {body['report']}")
    address = body["label_studio"]
    say(f"Label Studio {address['url']}\n           log in as {address['username']} with the password {address['password']}")
    say(f"           stop it with: {_command()} server down")
    say("\nNext, to see one example's whole story:")
    say(f"  {_command()} trace --project {body['folder']} {body['first_doubt']}")


def _command() -> str:
    """How the reader can call `assay` from where they are: the environment may not be activated."""
    import shutil
    import sys

    return "assay" if shutil.which("assay") else sys.argv[0]


def _suggested(body: dict[str, Any]) -> int:
    return int(body["predictions"]["created"]) + int(body["predictions"]["present"])


def doctor(body: dict[str, Any]) -> None:
    rows = [("ok" if item["ok"] else "MISSING", item["what"], item["seen"], item["mend"]) for item in body["checks"]]
    table("", ("", "what", "seen", "to mend it"), rows)
