"""The page of ``tgn assess``: self-contained, everything from outside is escaped."""

from collections.abc import Mapping, Sequence
from typing import Any

from tgn.assess.charts import draw_learning_curve
from tgn.data.runs import Run
from tgn.report.embedded_images import picture, thumbnail
from tgn.runtime.files import write_text
from tgn.runtime.html_pages import data_uri, page_environment

SHOWN = 16  # pictures of each kind
GROUPS = ("balanced", "head", "tail", "many", "medium", "few")


def write_page(run: Run, result: Mapping[str, Any]) -> None:
    """Write ``assess.html`` of a run.

    Args:
        run: whose images are shown.
        result: the content of ``assess.json``.
    """
    environment = page_environment("tgn.assess", "tgn.report")
    environment.filters |= {"points": points}
    root = (run.path / run.split().root).resolve()

    def pictures(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[dict[str, Any]]:
        return [
            {**row, "pictures": [thumbnail(root / row[key]) for key in keys]}
            for row in rows[:SHOWN]
        ]

    duplicates = [
        *result["exact_duplicates"]["listed"],
        *result["near_duplicates"]["listed"],
    ]
    duplicates.sort(key=lambda pair: pair["first_part"] == pair["second_part"])
    page = environment.get_template("assess.html.j2").render(
        run=run.name,
        result=result,
        groups=[g for g in GROUPS if _is_measured(result, g)],
        histogram=picture(run.histogram_file),
        curve=data_uri(draw_learning_curve(result["learning_curve"])),
        duplicates=pictures(duplicates, "first", "second"),
        doubtful=pictures(result["doubtful_labels"]["listed"], "file"),
        outliers=pictures(result["outliers"]["listed"], "file"),
    )
    write_text(run.assessment_page, page)


def points(share: float) -> str:
    """Return a difference of shares in points with its sign."""
    return f"{100 * share:+.1f}"


def _is_measured(result: Mapping[str, Any], group: str) -> bool:
    table = result["accuracy"][result["best_recipe"]]
    return any(table[part][group]["accuracy"] is not None for part in ("left_out", "test"))
