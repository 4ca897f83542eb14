"""Guidelines as the annotator sees them: Markdown as HTML, and nothing hostile in it."""

import pytest

from pipeline.label_studio.project import _as_html
from pipeline.templates import names, template


@pytest.mark.parametrize("name", names())
def test_the_guidelines_of_every_template_are_html_without_marks_of_markdown(name: str) -> None:
    html = _as_html(template(name).guidelines)
    assert "<h1>" in html or "<h2>" in html
    assert not any(line.lstrip("<p>").startswith(("## ", "|---", "| ")) for line in html.splitlines())
    assert "**" not in html


def test_html_and_script_addresses_in_guidelines_are_text() -> None:
    html = _as_html('<script>alert(1)</script>\n\n[x](javascript:alert(1))\n\n<img src=x onerror=alert(1)>')
    assert "<script" not in html
    assert "<img" not in html
    assert "href" not in html
