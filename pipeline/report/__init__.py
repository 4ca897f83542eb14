"""The HTML pages and their plots: one self-contained file each, no script, nothing from outside.

quality(folder)             the page of a check run
evaluation(folder, context) the page of an evaluation
markdown_summary(summary, link)  a few lines for a Prefect artifact
"""

from pipeline.report.evaluation_page import evaluation
from pipeline.report.markdown import markdown_summary
from pipeline.report.quality_page import quality

__all__ = ["evaluation", "markdown_summary", "quality"]
