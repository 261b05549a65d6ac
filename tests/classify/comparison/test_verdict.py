"""The verdict of a comparison, on tables made by hand; Student's t(0.975, 2) is 4.30265."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from matplotlib.figure import Figure

from classify.comparison import formatting
from classify.comparison.formatting import as_markdown, draw_comparison, interval
from classify.comparison.verdict import verdict
from classify.comparison.verdict_evidence import gathered

LEVEL = (0.80, 0.80, 0.80)


def made(**recipes: tuple[Sequence[float], Sequence[float]]) -> dict[str, Any]:
    """Return a table of (tail, head) accuracies of each seed; ``__`` in a name stands for ``+``."""
    rows = {
        name.replace("__", "+").replace("_", "-"): {"tail": interval(tail), "head": interval(head)}
        for name, (tail, head) in recipes.items()
    }
    seeds = len(next(iter(rows.values()))["tail"]["values"])
    return {"seeds": seeds, "recipes": rows, "gains": {}}


def found(table: dict[str, Any]) -> dict[str, Any]:
    result = verdict(table)
    assert result is not None
    return result


def test_generated_images_that_help_are_recommended_with_their_gain_over_the_best_without():
    table = made(
        ce=((0.50, 0.50, 0.50), LEVEL),
        lp_ft=((0.76, 0.77, 0.78), (0.90, 0.90, 0.90)),
        ce__generated=((0.60, 0.60, 0.60), LEVEL),
        lp_ft__generated=((0.79, 0.81, 0.80), (0.90, 0.90, 0.897)),
    )
    result = found(table)
    assert (result["outcome"], result["use"]) == ("generate", "lp-ft+generated")
    assert result["generated"]
    # Differences 3, 4 and 2 points: 3 +- 4.303 * 1 / sqrt(3).
    assert result["sentence"] == (
        "Use lp-ft+generated, with generated images: 80.0% on the rare classes (tail) instead of "
        "77.0% with lp-ft, the best without them (+3.0 points, +0.5 to +5.5, 3 seeds); head -0.1. "
        "Chosen among 4 recipes by the test images, which flatters."
    )
    assert result["evidence"]["rival"]["tail"] == pytest.approx(
        {"mean": 0.03, "error": 0.01 / 3**0.5, "low": 0.03 - 0.0430265 / 3**0.5,
         "high": 0.03 + 0.0430265 / 3**0.5}, abs=1e-6,
    )  # fmt: skip


def test_a_gain_over_the_same_base_is_none_if_another_recipe_without_is_better():
    table = made(
        ce=((0.50, 0.51, 0.50), LEVEL),
        balanced=((0.66, 0.65, 0.65), LEVEL),
        ce__generated=((0.60, 0.61, 0.61), LEVEL),
    )
    result = found(table)
    assert (result["outcome"], result["use"]) == ("do-not-generate", "balanced")
    assert not result["generated"]
    start = "Do not generate: use balanced (65.3% on the rare classes (tail), 80.0% on the head). "
    assert result["sentence"].startswith(start)
    assert "ce+generated, differs from balanced on the tail by -4.7 points (" in result["sentence"]


def test_an_interval_around_zero_decides_nothing_and_stays_without_generated_images():
    table = made(
        lp_ft=((0.70, 0.72, 0.71), LEVEL),
        lp_ft__generated=((0.73, 0.71, 0.71), LEVEL),
    )
    result = found(table)
    assert (result["outcome"], result["use"], result["generated"]) == ("open", "lp-ft", False)
    # Differences 3, -1 and 0 points: 2/3 +- 4.303 * 2.0817 / sqrt(3).
    assert result["sentence"] == (
        "Use lp-ft without generated images (71.0% on the rare classes (tail), 80.0% on the head). "
        "With them, lp-ft+generated differs from lp-ft on the tail by +0.7 points (-4.5 to +5.8): "
        "3 seeds do not decide it, more may (--seeds 5)."
    )


def test_a_gain_that_the_head_pays_for_is_said_and_not_recommended():
    paid = ((0.80, 0.81, 0.81), (0.74, 0.75, 0.74))
    table = made(lp_ft=((0.70, 0.70, 0.70), LEVEL), lp_ft__generated=paid)
    result = found(table)
    assert (result["outcome"], result["use"], result["generated"]) == ("trade-off", "lp-ft", False)
    assert (
        "tail by +10.7 points (+9.2 to +12.1, 3 seeds), but its head by -5.7."
        in (result["sentence"])
    )
    # One that gains less and keeps the head is preferred to it.
    kept = ((0.75, 0.75, 0.76), (0.796, 0.796, 0.796))
    table["recipes"] |= made(cmo__generated=kept)["recipes"]
    assert (found(table)["outcome"], found(table)["use"]) == ("generate", "cmo+generated")


def test_the_best_with_generated_images_is_not_chosen_by_its_spread():
    """Of many recipes some would have a narrow interval above 0 by chance."""
    table = made(
        ce=((0.50, 0.50, 0.50), LEVEL),
        cmo__generated=((0.55, 0.50, 0.54), LEVEL),
        ce__generated=((0.51, 0.511, 0.51), LEVEL),
    )
    assert found(table)["outcome"] == "open"
    assert "cmo+generated differs from ce" in found(table)["sentence"]


@pytest.mark.parametrize("gain", [0.1, -0.1])
def test_one_seed_decides_nothing(gain):
    table = made(probe=((0.7,), (0.8,)), probe__generated=((0.7 + gain,), (0.8,)))
    result = found(table)
    assert (result["outcome"], result["use"]) == ("open", "probe")
    assert "one seed shows no spread, more may decide (--seeds 5)" in result["sentence"]


def test_seeds_that_repeat_one_another_decide_nothing():
    """A probe without crops has nothing random: three equal seeds are one."""
    table = made(probe=((0.7, 0.7, 0.7), LEVEL), probe__generated=((0.9, 0.9, 0.9), LEVEL))
    result = found(table)
    assert (result["outcome"], result["use"]) == ("open", "probe")
    assert "+20.0 points with each of 3 seeds: no spread" in result["sentence"]


def test_ties_go_to_the_recipe_listed_first_but_the_gain_is_over_the_best():
    table = made(
        probe=((0.70, 0.70, 0.70), LEVEL),
        lp_ft=((0.68, 0.72, 0.712), LEVEL),
        lp_ft__generated=((0.71, 0.75, 0.743), LEVEL),
    )
    evidence = gathered(table)
    assert evidence is not None
    assert evidence.rival is not None
    assert evidence.plain.recipe == "probe"
    assert evidence.rival.against.recipe == "lp-ft"
    assert found(table)["outcome"] == "generate"  # 3, 3 and 3.1 points, though not over the probe
    table["recipes"].pop("lp-ft+generated")
    table["recipes"]["ce+generated"] = table["recipes"]["lp-ft"]
    tied = "80.0% on the head; lp-ft, 70.4%, is within one standard error)"
    assert tied in found(table)["sentence"]


def test_a_tie_does_not_cost_the_head():
    table = made(
        probe=((0.70, 0.70, 0.70), (0.79, 0.79, 0.79)),
        lp_ft=((0.68, 0.72, 0.712), LEVEL),
    )
    assert found(table)["use"] == "lp-ft"


def test_a_comparison_of_one_kind_names_the_other():
    table = made(ce=((0.5, 0.5, 0.5), LEVEL), balanced=((0.60, 0.61, 0.62), LEVEL))
    result = found(table)
    assert (result["outcome"], result["use"]) == ("none-with", "balanced")
    assert (
        "; the next, ce, differs from it on the tail by -11.0 points (-13.5 to -8.5, 3 seeds)"
        in (result["sentence"])
    )
    assert "add balanced+generated to --recipes" in result["sentence"]
    alone = found(made(ce__generated=((0.5,), (0.8,))))
    assert (alone["outcome"], alone["generated"]) == ("none-without", True)
    assert alone["sentence"] == (
        "Use ce+generated, with generated images (50.0% on the rare classes (tail), 80.0% on the "
        "head). Whether they help was not compared: add a recipe without them, such as lp-ft, to "
        "--recipes."
    )


@pytest.mark.usefixtures("charts")
def test_a_tail_without_test_images_makes_no_verdict_and_its_table_is_drawn(tmp_path):
    table = made(ce=((0.5,), (0.8,)), balanced=((0.6,), (0.8,)))
    for row in table["recipes"].values():
        del row["tail"]
    assert verdict(table) is None
    draw_comparison(table, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000
    for row in table["recipes"].values():
        del row["head"]
    draw_comparison(table, tmp_path / "empty.png")


def test_the_legend_of_a_comparison_hides_no_interval(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **_: shown.append(figure))
    monkeypatch.setattr(formatting, "atomic_path", nullcontext)
    draw_comparison(made(ce=((0.5, 0.6, 0.7), LEVEL)), tmp_path / "drawn.png")
    (axes,) = shown[0].axes
    shown[0].draw_without_rendering()
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_recipes_that_leave_real_images_out_are_not_recommended():
    part = {"real_tail_only": ((0.9,), (0.0,)), "generated_tail_only": ((0.8,), (0.0,))}
    assert verdict(made(**part)) is None
    assert found(made(**part, ce=((0.5,), (0.8,))))["use"] == "ce"


def test_a_ratio_belongs_to_a_recipe_with_generated_images():
    table = made(ce=((0.5, 0.5, 0.5), LEVEL))
    table["recipes"]["ce+generated@0.5"] = made(x=((0.6, 0.61, 0.6), LEVEL))["recipes"]["x"]
    assert found(table)["use"] == "ce+generated@0.5"


def test_the_markdown_begins_with_the_sentence():
    table = made(ce=((0.5,), (0.8,)))
    assert as_markdown(table).startswith("| recipe")
    table["verdict"] = found(table)
    assert as_markdown(table).startswith("Use ce (50.0% on the rare classes (tail), ")


def test_where_clip_without_training_is_best_the_recipe_to_add_is_one_that_trains():
    table = made(ce=((0.50, 0.51, 0.50), LEVEL), clip_zero_shot=((0.70, 0.70, 0.70), LEVEL))
    result = found(table)
    assert (result["outcome"], result["use"]) == ("none-with", "clip-zero-shot")
    assert "add lp-ft+generated to --recipes" in result["sentence"]
