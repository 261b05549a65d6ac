"""The charts of the report."""

from tgn.report import charts


def test_a_recipe_has_one_colour_whatever_its_use_of_generated_images(monkeypatch):
    monkeypatch.setattr(charts, "_png", lambda figure: figure)
    row = [{"name": "ship", "train": 5, "accuracy": 0.5}]
    names = ("lp-ft", "lp-ft+generated-blended@0.5", "ce")
    lines = charts.class_accuracies(dict.fromkeys(names, row)).axes[0].lines
    colours = [line.get_color() for line in lines]
    assert colours[0] == colours[1] != colours[2]
    assert [line.get_markerfacecolor() == "none" for line in lines] == [True, False, True]
