"""Offsets in code points and in UTF-16 units, and the text that a span says it holds."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.reading import hypertext
from pipeline.reading.spans import code_points_to_utf16, locate, utf16_to_code_points

# Plain, combining, astral, joined emoji, lone surrogates, line breaks: what real texts hold.
TEXTS = st.text(st.sampled_from("ab é\u0301\U0001f600\U0001f469\u200d\ud83d\r\n\t"), max_size=40)
FAMILY = "Hi \U0001f600 Ada met \U0001f469\u200d\U0001f467 Bob"


def utf16(text: str) -> int:
    """Its length in UTF-16 units, counted by the codec and not by our arithmetic."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(TEXTS)
@example("\U0001f600" * 3)
def test_every_offset_is_what_the_utf16_codec_counts_and_comes_back(text: str) -> None:
    for offset in range(len(text) + 1):
        units = code_points_to_utf16(text, offset)
        assert units == utf16(text[:offset])
        assert utf16_to_code_points(text, units) == offset


@given(TEXTS)
def test_what_is_no_place_in_the_text_is_none(text: str) -> None:
    valid = {utf16(text[:offset]) for offset in range(len(text) + 1)}
    for units in range(-2, utf16(text) + 3):
        assert (utf16_to_code_points(text, units) is not None) == (units in valid)


@given(TEXTS.filter(bool), st.data())
def test_a_span_with_its_text_is_found_in_either_unit(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    said = text[start:end]
    first, last = locate(text, start, end, said=said)
    assert text[first:last] == said
    first, last = locate(text, utf16(text[:start]), utf16(text[:end]), said=said, unit="UTF-16")
    assert text[first:last] == said
    assert locate(text, utf16(text[:start]), utf16(text[:end]), unit="UTF-16") == (start, end)
    assert locate(text, start, end) == (start, end)


def test_the_text_decides_between_the_units_and_the_editors_unit_where_both_fit() -> None:
    assert FAMILY[5:8] == "Ada"
    assert locate(FAMILY, 5, 8, said="Ada") == (5, 8)
    assert locate(FAMILY, 6, 9, said="Ada") == (5, 8)
    same = "\U0001f600aaaa"
    assert locate(same, 2, 3, said="a") == (2, 3)
    assert locate(same, 2, 3, said="a", unit="UTF-16") == (1, 2)
    assert locate(same, 2, 3) == (2, 3)
    assert locate("\U0001f600ab", 3, 4) == (2, 3), "beyond the code points, so it must be UTF-16"


def test_white_space_that_the_browser_changed_is_no_difference() -> None:
    text = "Bob\r\nin Paris  and\n\nthen"
    assert locate(text, 0, 18, said="Bob\\n\\nin Paris and") == (0, 18)
    assert locate(text, 0, 5, said="Bob\r\n") == (0, 5)
    with pytest.raises(ValueError, match="does not hold its text"):
        locate(text, 3, 5, said="x")
    assert locate("a  b", 1, 3, said="  ") == (1, 3)
    with pytest.raises(ValueError, match="does not hold its text"):
        locate("a \tb", 1, 3, said="  ")  # nothing but white space must be the same white space


@pytest.mark.parametrize(
    ("start", "end", "said", "why"),
    [
        (5, 3, None, "the span 5-3 ends before it begins"),
        (-1, 2, None, "the span -1-2 begins before the text does"),
        (-5, -3, None, "begins before"),
        (3, 3, None, "the span 3-3 is empty"),
        (0, 99, None, "ends after the text, which has 20 characters"),
        (5, 8, "Bob", "neither in code points nor in UTF-16 units.*'Ada' and ' Ad'"),
    ],
)
def test_a_span_that_cannot_be_is_refused_with_its_reason(
    start: int, end: int, said: str | None, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        locate(FAMILY, start, end, said=said)


def test_work_grows_with_the_text_once_and_not_with_every_span(monkeypatch: pytest.MonkeyPatch) -> None:
    import pipeline.reading.spans as module

    text = "a\U0001f600" * 1000
    scanned: list[int] = []
    pattern = module.ASTRAL

    class Counting:
        def finditer(self, given: str) -> object:
            scanned.append(len(given))
            return pattern.finditer(given)

    monkeypatch.setattr(module, "ASTRAL", Counting())
    module._astral.cache_clear()
    for start in range(0, 2000, 2):
        assert locate(text, start, start + 1, said="a") == (start, start + 1)
    module._astral.cache_clear()
    assert scanned == [len(text)]


# What the editor of Label Studio 1.23.2 wrote in a browser for this page: counted offsets, and where they are in what is shown.
PAGE = (
    "<div><p>Hi \U0001f600 <b>Ada</b> Lovelace &amp; co</p>\n<p>met \U0001f469\u200d\U0001f469\u200d\U0001f467 Bob<br/>in   "
    "Paris</p><script>var x=1;</script><style>p{}</style>\n<ul><li>one</li>\n<li>Rome two</li></ul></div>"
)
SECOND = (
    "\n  <p>Hi \U0001f600 <b>Ada</b> Lovelace &amp; co</p><p>met Bob</p>\n<table><tr><td>one</td><td>two</td></tr></table>"
    "<textarea>tt</textarea><noscript>nn</noscript><p>last"
)


@pytest.mark.parametrize(
    ("html", "counted", "holds", "first", "last"),
    [
        (PAGE, (5, 17), "Ada Lovelace", ("/div[1]/p[1]/b[1]/text()[1]", 0), ("/div[1]/p[1]/text()[2]", 9)),
        (PAGE, (33, 47), "Bob\nin   Paris", ("/div[1]/p[2]/text()[1]", 13), ("/div[1]/p[2]/text()[2]", 10)),
        (PAGE, (51, 54), "one", ("/div[1]/ul[1]/li[1]/text()[1]", 0), ("/div[1]/ul[1]/li[1]/text()[1]", 3)),
        (PAGE, (55, 59), "Rome", ("/div[1]/ul[1]/li[2]/text()[1]", 0), ("/div[1]/ul[1]/li[2]/text()[1]", 4)),
        (SECOND, (5, 8), "Ada", ("/p[1]/b[1]/text()[1]", 0), ("/p[1]/b[1]/text()[1]", 3)),
        (SECOND, (20, 25), "co\nmet", ("/p[1]/text()[2]", 12), ("/p[2]/text()[1]", 3)),
        (SECOND, (30, 36), "one\ntwo", ("/table[1]/tbody[1]/tr[1]/td[1]/text()[1]", 0),
         ("/table[1]/tbody[1]/tr[1]/td[2]/text()[1]", 3)),
        (SECOND, (40, 44), "last", ("/p[3]/text()[1]", 0), ("/p[3]/text()[1]", 4)),
    ],
)  # fmt: skip
def test_html_is_counted_as_the_editor_counts_it(
    html: str, counted: tuple[int, int], holds: str, first: tuple[str, int], last: tuple[str, int]
) -> None:
    page = hypertext.read(html)
    start, end = page.shown(*counted)
    assert page.text[start:end] == holds
    assert page.counted(start, end) == counted
    assert (page.at(*first), page.at(*last)) == counted


def test_style_sheets_scripts_and_what_comes_before_the_body_are_not_read() -> None:
    page = hypertext.read(
        "<html><head><title>T</title><style>p{}</style></head>\n<body><p>x<p>y<script>z</script></body></html>"
    )
    assert page.text == "x\ny"
    assert page.counts == 2
    assert "p{}" not in hypertext.read(PAGE).text
    with pytest.raises(ValueError, match="holds no text that is shown"):
        hypertext.read(PAGE).shown(47, 50)
    with pytest.raises(ValueError, match="lies outside the text"):
        hypertext.read(PAGE).shown(0, 10_000)


BITS = (
    "<p>|</p>|<b>|</b>|<br>|<br/>|<style>|</style>|<script>|</script>|<!-- c -->|<!--|-->|<![x|<!d|<![CDATA[|&amp;|&#x1f600;|"
    "&|<|<li>|</ul>|<td>|<tr>|<table>|word| |\n|\r\n|\U0001f600|</|<a href=|'|<textarea>|<pre>|<title>|<body>"
)
MARKUP = st.lists(st.sampled_from(BITS.split("|")), max_size=30).map("".join)


@given(st.one_of(MARKUP, st.text(max_size=60)), st.data())
def test_any_html_is_read_and_every_span_of_it_comes_back(html: str, data: st.DataObject) -> None:
    page = hypertext.read(html)
    assert page.pieces == tuple(sorted(page.pieces, key=lambda piece: piece.shown))
    for piece in page.pieces:
        assert page.text[piece.shown : piece.shown + len(piece.content)] == piece.content
    if not page.pieces:
        return
    first, last = sorted(
        data.draw(st.tuples(st.integers(0, len(page.pieces) - 1), st.integers(0, len(page.pieces) - 1)))
    )
    start = page.pieces[first].shown
    end = page.pieces[last].shown + len(page.pieces[last].content)
    assert page.shown(*page.counted(start, end)) == (start, end)


@pytest.mark.parametrize(
    "bit", ["<!--", "<a ", "<a href='", "<![x", "<b>x", "<style>", "<?", "x<!---->", "<", "</ "]
)
def test_reading_hostile_html_grows_with_its_length_only(bit: str) -> None:
    """Python's own parser needs minutes for some of these; compared with a twentieth of itself."""
    from time import process_time

    def seconds(html: str) -> float:
        started = process_time()
        hypertext.read.__wrapped__(html)
        return process_time() - started

    small, large = seconds(bit * 2_000), seconds(bit * 40_000)
    assert large < 200 * max(small, 0.002), f"20 times the text took {large / small:.0f} times as long"
