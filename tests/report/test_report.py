"""The page: complete, escaped, and alone in the world."""

import html
import json
import re
import shutil
import subprocess

import pytest
from report_support import HOSTILE, fill, score_and_filter
from tests_support import write_generated

from tgn.data.manifest import MANIFEST
from tgn.report.page import write_report
from tgn.runtime.files import read_json, write_json, write_text
from tgn.runtime.html_pages import number, percent

BROWSER = shutil.which("chromium")


@pytest.mark.usefixtures("charts")
def test_a_full_page_is_escaped_and_asks_for_nothing(fake_run):
    fill(fake_run)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert all(
        src.startswith("data:image/png;base64,") for src in re.findall(r'src="([^"]*)"', page)
    )
    assert "<p>Collect: " in page
    opening = re.search(r"</h1>\s*(.*)", page)
    assert opening is not None
    assert html.unescape(opening[1]) == f"<p><strong>Use {HOSTILE}.</strong></p>"
    assert "generated images add to ce" in page
    assert "50.0 ± 1.0" in page
    assert page.count('alt="generated"') == 8
    assert page.count('alt="source"') == 8


def test_scores_pairs_and_filter_are_shown(fake_run):
    fill(fake_run)
    score_and_filter(fake_run)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert "<script" not in page
    texts = (
        "Closest to a training image", "What was filtered out", "Vendi", "agreement %",
        "worth in real images is not known", "held-out real", "energy, finest",
        "not known whether the generator", "Judged by tail (distances)",
    )  # fmt: skip
    for text in texts:
        assert text in page
    assert "is classified without its source" in page
    assert page.count('alt="nearest training image"') == 16  # beside 8 samples, and 8 closest
    assert 'alt="Confusion matrix of ce"' in page


def test_the_verdict_of_a_filter_by_use_is_shown(fake_run):
    fill(fake_run)
    score_and_filter(fake_run)
    file = fake_run.path / "generated" / "filter.json"
    known = {"gain": 1.25, "low": -0.5, "high": 3.0}
    unknown = {"gain": 0.0, "low": None, "high": None}
    rows = [
        {"class": "bar", "images": 7, "advice": "use", **known},
        {"class": "disc", "images": 1, "advice": "no", **unknown},
    ]
    for row in rows:
        row |= {"accuracy_gain": 2.0, "accuracy_low": -1.0, "accuracy_high": 5.0}
    use = {"sentence": "use the images of 1 of 2 classes", "classes": rows, "statistic": "error"}
    write_json(file, {**read_json(file), "use": use})
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert "use the images of 1 of 2 classes" in page
    accuracy = "<td>+2.0</td><td>-1.0 to +5.0</td>"
    assert f"<td>7</td><td>+1.2</td><td>-0.5 to +3.0</td>{accuracy}<td>use</td>" in page
    assert f"<td>1</td><td>+0.0</td><td>-</td>{accuracy}<td>no</td>" in page
    write_json(file, {**read_json(file), "use": {"sentence": "do not generate", "classes": []}})
    assert "do not generate" in write_report(fake_run).read_text(encoding="utf-8")


def test_the_assessment_of_generated_images_is_shown_class_by_class(fake_run):
    fill(fake_run)
    row = {"class": "bar", "images": 7, "advice": "use"}
    numbers = {"gain": 1.5, "low": 1.0, "high": 2.0}
    row |= numbers | {f"accuracy_{key}": value for key, value in numbers.items()}
    assessment = {"advice": {"sentence": "Yes, use these images."}}
    for generated in (
        {},
        {"generated": None},
        {"generated": {"statistic": "error", "classes": [row]}},
    ):
        write_json(fake_run.assessment_file, {**assessment, **generated})
        page = write_report(fake_run).read_text(encoding="utf-8")
        assert "Yes, use these images." in page
        assert ("gain by error, hundredths" in page) == bool(generated.get("generated"))


def test_head_classes_are_shown_after_the_tail_and_marked(fake_run):
    fill(fake_run)
    write_generated(fake_run, label=0, count=2)
    score_and_filter(fake_run)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert page.count(" (head)</h3>") == 1
    assert page.index(" 3</h3>") < page.index(" 0 (head)</h3>")
    assert "square (head)</td>" in page
    assert "are of the tail, without head classes" in page


def test_scores_of_an_older_version_are_left_out(fake_run):
    fill(fake_run)
    score_and_filter(fake_run)
    file = fake_run.path / "scores" / "generated-tail.json"
    old = read_json(file)
    del old["format"]
    write_json(file, old)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert "scored by an older version" in page
    assert "Closest to a training image" not in page


def test_figures_of_networks_that_the_generator_knew_are_apart(fake_run):
    fill(fake_run)
    score_and_filter(fake_run)
    file = fake_run.path / "scores" / "generated-tail.json"
    scores = read_json(file)
    scores["summary"][0] |= {"trained_against": True, "network": "a network"}
    write_json(file, scores)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert page.count("<th>all classes together</th>") == 2
    assert "trained against a network, which flatters" in page


@pytest.mark.usefixtures("charts")
@pytest.mark.skipif(not BROWSER, reason="needs Debian's chromium")
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(fake_run, tmp_path, width):
    """Every picture loads, nothing is asked of anybody, and a phone need not scroll sideways."""
    fill(fake_run)
    score_and_filter(fake_run)
    page = write_report(fake_run).read_text(encoding="utf-8")
    probe = """<script>onload = () => { const seen = {
        pictures: document.images.length,
        broken: [...document.images].filter(i => !i.naturalWidth).length,
        requests: performance.getEntriesByType("resource").filter(
            e => !e.name.startsWith("data:")).map(e => e.name),
        wide: document.documentElement.scrollWidth - innerWidth };
        document.body.innerText = "SEEN" + JSON.stringify(seen) + "END"; }</script>"""
    write_text(tmp_path / "probe.html", page.replace("</body>", probe + "</body>"))
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "probe.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = json.loads(html.unescape(done.stdout.split("SEEN")[-1].split("END")[0]))
    assert seen["pictures"] > 20
    assert (seen["broken"], seen["requests"]) == (0, [])
    assert seen["wide"] <= 0
    assert "CONSOLE" not in done.stderr


def test_what_is_missing_names_its_command(fake_run):
    page = write_report(fake_run).read_text(encoding="utf-8")
    for command in ("classify compare", "tgn score", "tgn generate", "tgn train", "tgn distill"):
        assert command in page


def test_a_control_of_the_distillation_has_columns_of_its_own(fake_run):
    fill(fake_run)
    file = fake_run.path / "kmdn" / "accuracy.json"
    assert "tail control" not in write_report(fake_run).read_text(encoding="utf-8")
    accuracy = read_json(file)
    for net in ("tail_net", "head_net"):
        accuracy[net]["control"] = {"head": 0.8, "tail": 0.123}
    write_json(file, {**accuracy, "control_means": "no teacher"})
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert "tail control" in page
    assert page.count("12.3") == 2
    assert "control: no teacher" in page


def test_a_comparison_of_an_older_version_has_no_verdict(fake_run):
    fill(fake_run)
    table = read_json(fake_run.comparison_file)
    del table["verdict"]
    write_json(fake_run.comparison_file, table)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert re.search(r'</h1>\s*<p class="dim">', page)
    assert "generated images add to ce" in page


def test_a_lost_image_does_not_stop_the_page(fake_run):
    fill(fake_run)
    next((fake_run.path / "generated").glob("*/*.png")).unlink()
    assert (fake_run.path / "generated" / MANIFEST).is_file()
    assert write_report(fake_run).is_file()


def test_numbers_for_people():
    assert (percent(0.5), percent(None)) == ("50.0", "–")
    assert (number(0.123456), number(None), number(7)) == ("0.1235", "–", "7")
