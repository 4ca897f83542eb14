"""The text of an HTML field, and where Label Studio's offsets into it lie.

The editor's globalOffsets count the code points of all text nodes of the body in order, one for each <br>, and style sheets
too; scripts and frames are thrown out before it counts, and white space before the body's content does not get into it
(measured in a browser on 1.23.2). People and models read something else: no style sheet, and a line break where a block begins
or ends. `read` gives that text with a map between the two.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from html import unescape

from pipeline.reading.spans import utf16_to_code_points

VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())  # noqa: SIM905
DROPPED = frozenset(("script", "iframe"))  # the editor's sanitizer discards them with their content
UNSEEN = frozenset(("style", "title"))  # counted by the editor, not shown
BLOCKS = frozenset(
    "address article aside blockquote dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav "  # noqa: SIM905
    "ol p pre section table tbody td tfoot th thead tr ul".split()
)

FRAME = frozenset(("html", "head", "body"))  # not part of an XPath, which begins at the body
HEAD = FRAME | {
    "meta",
    "title",
    "link",
    "style",
    "script",
    "base",
}  # tags that do not begin the body's content
ENDS = {"li": frozenset(("li",)), "p": BLOCKS, "td": frozenset(("td", "th", "tr")), "tr": frozenset(("tr",))}
RAW = frozenset(
    ("script", "style", "textarea", "title", "iframe", "xmp", "noembed", "noframes")
)  # no tags inside these
# A comment, a declaration, or a tag with attributes up to its end. The possessive parts never go back over what they took.
MARKUP = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<(?:[!?]|/(?![a-zA-Z]))[^>]*+(?:>|\Z)"
    r"|<(?P<slash>/?)(?P<tag>[a-zA-Z][^\s/>]*+)(?P<rest>(?>=\s*+\"[^\"]*+\"|=\s*+'[^']*+'|[^>])*+>)?",
    re.DOTALL,
)

# (number of the parent node, step such as "p[2]") -> number of the node; 0 is the root
Nodes = dict[tuple[int, str], int]


@dataclass(frozen=True)
class Piece:
    """One text node or <br>: where it begins among what the editor counts, and in the text that is shown."""

    counted: int
    shown: int
    content: str


@dataclass(frozen=True)
class HyperText:
    text: str
    counts: int  # the editor's length of it
    pieces: tuple[Piece, ...]  # those that are shown, in order; no two begin at the same place
    begins: dict[int, tuple[int, str]]  # text node -> its first counted offset, its content; shown or not
    nodes: Nodes

    def shown(self, start: int, end: int) -> tuple[int, int]:
        """Counted offsets as offsets of `text`. ValueError if they lie outside, or hold nothing that is shown."""
        if not 0 <= start <= end <= self.counts:
            raise ValueError(
                f"the span {start}-{end} lies outside the text, which has {self.counts} characters"
            )
        first = bisect_right(self.pieces, start, key=lambda piece: piece.counted) - 1
        if first < 0 or self.pieces[first].counted + len(self.pieces[first].content) <= start:
            first += 1  # it begins in what is not shown, or at the very end of a piece
        last = bisect_left(self.pieces, end, key=lambda piece: piece.counted) - 1
        if first > last:
            raise ValueError(f"the span {start}-{end} holds no text that is shown")
        head, tail = self.pieces[first], self.pieces[last]
        return head.shown + max(0, start - head.counted), tail.shown + min(
            len(tail.content), end - tail.counted
        )

    def counted(self, start: int, end: int) -> tuple[int, int]:
        """Offsets of `text` (start < end) as the editor counts them; a break of ours at an end of the span is left out."""
        first = bisect_right(self.pieces, start, key=lambda piece: piece.shown) - 1
        if self.pieces[first].shown + len(self.pieces[first].content) <= start:
            first += 1
        last = bisect_left(self.pieces, end, key=lambda piece: piece.shown) - 1
        head, tail = self.pieces[first], self.pieces[last]
        return head.counted + max(0, start - head.shown), tail.counted + min(
            len(tail.content), end - tail.shown
        )

    def at(self, path: str, offset: int) -> int | None:
        """The counted offset of UTF-16 unit `offset` in the text node at an XPath; None if there is no such place."""
        node = 0
        for step in path.strip("/").split("/"):
            node = self.nodes.get((node, step), -1)
        if node not in self.begins:
            return None
        counted, content = self.begins[node]
        inside = utf16_to_code_points(content, offset)
        return None if inside is None else counted + inside


@lru_cache(maxsize=4)  # every annotation of a task reads the same text
def read(html: str) -> HyperText:
    reader = _Reader()
    _scan(html, reader)
    pieces: list[Piece] = []
    begins: dict[int, tuple[int, str]] = {}
    parts: list[str] = []
    counted = shown = 0
    for found in reader.found:
        content = "".join(found.parts)
        begins[found.node] = (counted, content)
        if found.seen:
            if found.after_block and parts and not parts[-1].endswith("\n") and not content.startswith("\n"):
                parts.append("\n")
                shown += 1
            pieces.append(Piece(counted, shown, content))
            parts.append(content)
            shown += len(content)
        counted += len(content)
    return HyperText("".join(parts), counted, tuple(pieces), begins, reader.nodes)


def _scan(html: str, reader: _Reader) -> None:
    """Tokens of any text, as the HTML standard takes it apart, in time linear in its length: Python's own parser takes a
    hundred seconds for some texts of 100 kB, raises AssertionError for others, and differs from version to version."""
    html = html.replace("\r\n", "\n").replace("\r", "\n")
    at = 0
    while at < len(html):
        match = MARKUP.search(html, at)
        stop = match.start() if match else len(html)
        if stop > at:
            reader.text(unescape(html[at:stop]))
        if match is None:
            return
        at, tag = match.end(), match["tag"]
        if tag is None:  # a comment, or what counts as one
            continue
        if match["rest"] is None:
            return  # a tag that never ends is dropped
        if match["slash"]:
            reader.end(tag.lower())
            continue
        reader.start(tag.lower())
        if tag.lower() in RAW:
            close = re.compile(f"</{tag}(?=[\\s/>])", re.IGNORECASE).search(html, at)
            stop = close.start() if close else len(html)
            raw = html[at:stop]
            reader.text(unescape(raw) if tag.lower() in ("title", "textarea") else raw)
            at = stop


@dataclass
class _Found:
    node: int
    parts: list[str]
    seen: bool
    after_block: bool  # a block begins or ends before it


class _Reader:
    """Collects the text nodes, with the numbers of the tree's nodes."""

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self.nodes: Nodes = {}
        self._open: list[tuple[int, str]] = [
            (0, "")
        ]  # the elements that are open, outermost first: number, name
        self._often: Counter[str] = Counter()  # how many of each name are open
        self._steps: Counter[tuple[int, str]] = Counter()  # children of each name that an element has so far
        self._begun = False  # the body's content
        self._in_text = False  # the last child of the open element is a text node
        self._block = False

    def start(self, tag: str) -> None:
        self._begun = self._begun or tag == "body" or tag not in HEAD
        if self._dropped() or tag in FRAME:
            return
        if tag in ENDS.get(self._open[-1][1], ()):
            self.end(self._open[-1][1])
        if tag == "tr" and self._open[-1][1] == "table":
            self.start("tbody")
        self._block = self._block or tag in BLOCKS
        self._in_text = False
        node = self._child(tag)
        if tag == "br":
            self._add(node, "\n")
        if tag not in VOID:
            self._open.append((node, tag))
            self._often[tag] += 1

    def end(self, tag: str) -> None:
        if not self._often[tag] or (self._dropped() and self._open[-1][1] != tag):
            return
        name = ""
        while name != tag:
            name = self._open.pop()[1]
            self._often[name] -= 1
        self._block = self._block or tag in BLOCKS
        self._in_text = False

    def text(self, data: str) -> None:
        if not self._begun:  # white space there is dropped, and a style sheet gets into the head
            data = "" if self._unseen() else data.lstrip(" \t\n\f")
            self._begun = bool(data)
        if self._open[-1][1] in ("pre", "textarea") and not self._in_text and self._is_first():
            data = data.removeprefix("\n")
        if self._dropped() or not self._begun or not data:
            return
        if (
            self._in_text
        ):  # a comment lay between: the editor's sanitizer throws it away, which joins both parts
            self.found[-1].parts.append(data)
        else:
            self._add(self._child("text()"), data)
            self._in_text = True

    def _add(self, node: int, content: str) -> None:
        seen = not self._unseen()
        self.found.append(_Found(node, [content], seen, self._block))
        self._block = self._block and not seen

    def _child(self, name: str) -> int:
        parent = self._open[-1][0]
        self._steps[parent, ""] += 1
        self._steps[parent, name] += 1
        return self.nodes.setdefault((parent, f"{name}[{self._steps[parent, name]}]"), len(self.nodes) + 1)

    def _is_first(self) -> bool:
        return not self._steps[self._open[-1][0], ""]

    def _dropped(self) -> bool:
        return self._open[-1][1] in DROPPED

    def _unseen(self) -> bool:
        return any(self._often[name] for name in UNSEEN)
