"""The page in the browser, as a person would use it, and what is under it."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests_support import QUICK

from tgn.app.live_sampling import sample_live
from tgn.app.real_images import RealImages
from tgn.app.review import Review
from tgn.backends import generate
from tgn.data.image_set import ImageSet
from tgn.data.manifest import FILTERED, active_rows, read_manifest
from tgn.generation.cdtg.sampler import open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.generate import GenerationRequest
from tgn.models.pretrained import IMAGENET, file_of
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent

BROWSER = shutil.which("chromium")


@pytest.fixture
def made(trained):
    """A run with 14 generated images of 'bar' and 3 of 'cross'."""
    split, out = trained.split(), trained.path / "generated"
    for name, n in (("bar", 14), ("cross", 3)):
        settings = CdtgSampleSettings(n=n, block=8, **QUICK)
        generate(trained, GenerationRequest((split.class_called(name),), out, settings), Silent())
    return trained


@pytest.fixture
def sampler(made):
    return open_cdtg_sampler(made, CdtgSampleSettings(**QUICK))


@pytest.fixture
def real_images(made, sampler):
    return RealImages(made, 32, sampler.device, Silent())


def test_live_samples_equal_what_generate_writes(made, sampler, real_images):
    settings = CdtgSampleSettings(block=8, **QUICK)
    compared = sample_live(sampler, real_images, "bar", settings)
    rows = [row for row in read_manifest(made.path / "generated") if row.folder == "bar"][:8]
    files = [made.path / "generated" / row.file for row in rows]
    written = ImageSet(files, [0] * 8, 32).batch(torch.arange(8))
    assert torch.equal(torch.stack([image.generated for image in compared]), written)
    sources = [made.path / made.split().root / row.source_file for row in rows]
    assert torch.equal(
        torch.stack([image.source for image in compared]),
        ImageSet(sources, [0] * 8, 32).batch(torch.arange(8)),
    )
    square = sample_live(sampler, real_images, "square", settings)
    assert all(image.source is not None for image in square)
    with pytest.raises(UserError, match="no class 'car'"):
        sample_live(sampler, real_images, "car", settings)


def test_a_training_image_is_its_own_nearest(real_images):
    some = real_images.images.batch(torch.tensor([0, 5]))
    compared = real_images.compare(some, ["", "gone.png"])
    assert all(torch.equal(image.generated, image.nearest) for image in compared)
    assert [image.distance for image in compared] == pytest.approx([0, 0], abs=1e-4)
    assert all(image.source is None for image in compared)


def test_the_nearest_are_by_a_judge_that_is_named(real_images):
    try:
        file_of(IMAGENET["mobilenetv2_100"])
    except UserError as error:
        pytest.skip(str(error))
    assert real_images.extractor.name == "imagenet/mobilenetv2_100"
    assert "imagenet/mobilenetv2_100" in real_images.judge
    grey = real_images.images.batch(torch.tensor([3]))[:, :1]
    assert real_images.compare(grey, [""])[0].generated.shape == (3, 32, 32)


def test_without_the_judges_package_the_tail_net_stands_in_with_a_warning(
    made, sampler, monkeypatch
):
    entry = replace(IMAGENET["mobilenetv2_100"], module="no_such_module")
    monkeypatch.setitem(IMAGENET, "mobilenetv2_100", entry)
    real_images = RealImages(made, 32, sampler.device, Silent())
    assert real_images.extractor.name == "tail"
    assert real_images.judge.startswith("Warning: ")
    assert "not installed" in real_images.judge
    some = real_images.images.batch(torch.tensor([2]))
    assert real_images.compare(some, [""])[0].distance == pytest.approx(0, abs=1e-4)


def test_images_dropped_by_hand_no_longer_count(made, real_images):
    folder = made.path / "generated"
    review = Review(folder, made.split(), real_images)
    assert (review.folders(), review.pages("bar")) == (["bar", "cross"], 2)
    assert [len(review.page("bar", number)) for number in (1, 2, 3)] == [12, 2, 0]
    bad = {row.file for row, _ in review.page("bar", 2)}
    assert review.set_dropped(bad) == 15
    assert review.dropped() == bad
    assert {row.file for row in active_rows(folder, made.split())}.isdisjoint(bad)
    with pytest.raises(UserError, match="no image would be left"):
        review.set_dropped({row.file for row in review.rows})
    assert review.set_dropped(()) == 17
    assert not (folder / FILTERED).exists()


@pytest.mark.skipif(not BROWSER, reason="needs Debian's chromium")
def test_in_a_browser(made):
    """Draw, move the slider, drop an image; nothing is requested of another machine."""
    pytest.importorskip("gradio")
    playwright = pytest.importorskip("playwright.sync_api")
    command = [sys.executable, "-m", "tgn", "app", "--run", made.name, "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = next(found for line in server.stdout if (found := re.search(r"http://\S+", line)))
            assert url[0].startswith("http://127.0.0.1:")
            with playwright.sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
                use_as_a_person_would(browser.new_page(), url[0], made.path / "generated")
                browser.close()
        finally:
            server.terminate()


def use_as_a_person_would(tab, url: str, folder: Path) -> None:
    requested, errors = [], []
    tab.on("request", lambda request: requested.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(url)
    pictures = tab.locator("#generated img")
    pictures.nth(7).wait_for(timeout=120_000)  # the first ones wait for the judge to load
    assert "Nearest training images are those" in tab.locator("#title").inner_text()
    before = pictures.first.get_attribute("src")
    slider = tab.locator("#generate-noise input[type=number]")
    slider.fill("1")
    slider.press("Enter")
    tab.wait_for_function(
        "old => document.querySelector('#generated img').getAttribute('src') != old", arg=before
    )
    tab.get_by_role("tab", name="Review").click()
    tab.locator("#reviewed img").nth(11).wait_for()
    assert "17 of 17" in tab.locator("#review-state").inner_text()
    tab.locator("#reviewed img").nth(1).click()
    tab.get_by_text("16 of 17 images are used").wait_for()
    kept = (folder / FILTERED).read_text(encoding="utf-8")
    assert '"bar/000001.png"' not in kept
    assert '"bar/000002.png"' in kept
    assert [one for one in requested if not one.startswith((url, "data:", "blob:"))] == []
    assert errors == []
