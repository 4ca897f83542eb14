"""A few lines of Markdown for the Prefect run."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.report.headline import blocked, sentence
from pipeline.report.render import cut, num, span, val, words


def markdown_summary(summary: dict[str, Any], link: str) -> str:
    """At most 25 lines; text from outside is escaped, so that neither Markdown nor HTML in it acts.

    link: a path or an http(s) or file address; anything else is shown, not linked.
    """
    gate, counts = summary["gate"], summary["counts"]
    lines = [f"# {_text(summary['project']['name'])}: gate {'open' if gate['open'] else 'closed'}", ""]
    lines += [_text(sentence(summary)), "", "| | |", "|---|---|"]
    lines += [f"| Examples | {num(counts['examples'])} |", f"| Annotations | {num(counts['annotations'])} |"]
    overall = summary["agreement"]["overall"]
    agreed = f"{val(overall['value'])} ({span(overall)})" if overall else _text(summary["agreement"]["reason"])
    lines += [f"| {_text(summary['agreement']['measure'])} | {agreed} |"]
    for item in [check for check in summary["checks"] if check["flagged"] or check["status"] == "crashed"][:6]:
        found = "crashed" if item["status"] == "crashed" else f"{num(item['flagged'])} of {num(item['judged'])}"
        lines.append(f"| {_text(words(item['check']))} | {found} |")
    failed = blocked(summary)
    lines += [""] if failed else []
    lines += [f"- Blocked: {_text(item['what'])}" for item in failed[:5]]
    if len(failed) > 5:
        lines.append(f"- and {len(failed) - 5} more")
    return "\n".join([*lines, "", _link(link)]) + "\n"


def _text(text: str) -> str:
    """One line, all that Markdown or HTML could read as markup turned into character references."""
    flat = " ".join(cut(text, 200).split())
    return re.sub(r"[^\w\s.,;:%()–−…⟨⟩'-]|_|://|(?<=www)\.", lambda hit: "".join(f"&#{ord(c)};" for c in hit[0]), flat)


def _link(link: str) -> str:
    if urlsplit(link).scheme in {"", "http", "https", "file"}:
        return f"[Open the report](<{quote(link, safe='/:?&=#%~@+,;-._')}>)"
    return f"The report: {_text(link)}"
