"""Tables in Markdown."""

from tgn.runtime.markdown import markdown_row, markdown_table


def test_a_table_has_a_rule_below_its_header():
    assert markdown_table(("a", "b"), [("1", "2"), ["3", ""]]) == (
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |  |"
    )
    assert markdown_table(["a"]) == "| a |\n|---|"
    assert markdown_row(("1", "2")) == "| 1 | 2 |"
