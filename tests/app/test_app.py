"""The page in the browser, as a person would use it, and what is under it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch
from tests_support import QUICK, copied_run, damage, in_process, other_process

from tgn.app.live_sampling import sample_live
from tgn.app.real_images import RealImages
from tgn.app.review import Choice, Review
from tgn.backends import generate
from tgn.cli.main import main
from tgn.data.image_set import ImageSet
from tgn.data.manifest import FILTERED, MANIFEST, active_rows, read_manifest, write_filtered
from tgn.generation.cdtg.sampler import open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.generate import GenerationRequest
from tgn.models.pretrained import IMAGENET, file_of
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.scoring.filter import filter_run
from tgn.scoring.settings import FilterSettings

BROWSER = shutil.which("chromium")


@pytest.fixture(scope="module")
def made_once(made_trained, tmp_path_factory):
    """Make once what ``made`` copies, the judge's features of its real images too."""
    folder = tmp_path_factory.mktemp("app")
    run = copied_run(made_trained, folder)
    for name, n in (("bar", 14), ("cross", 3)):
        settings = CdtgSampleSettings(n=n, block=8, **QUICK)
        request = GenerationRequest((run.split().class_called(name),), run.generated, settings)
        generate(run, request, Silent())
    RealImages(run, 32, Device(settings), Silent())
    return folder


@pytest.fixture
def made(made_once, in_tmp):
    """A run with 14 generated images of 'bar' and 3 of 'cross'."""
    return copied_run(made_once, in_tmp)


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


@pytest.fixture
def review(made, real_images):
    return Review(made.path / "generated", made.split(), real_images)


def click(review, page, index):
    """Click an image of a page that was shown at some time; return what is said."""
    row, is_used, _ = page.shown[index]
    return review.choose(Choice(row.file, row.sha256, not is_used))


def test_images_dropped_by_hand_no_longer_count(made, review):
    assert review.folders() == ["bar", "cross"]
    pages = [review.page("bar", number) for number in (1, 2, 3)]
    assert [(len(page.shown), page.number, page.pages) for page in pages] == [
        (12, 1, 2), (2, 2, 2), (2, 2, 2)
    ]  # fmt: skip
    assert [click(review, pages[1], index) for index in (0, 1)] == ["", ""]
    after = review.page("bar", 2)
    assert [image.is_used for image in after.shown] == [False, False]
    assert (after.used, after.total) == (15, 17)
    bad = {image.row.file for image in after.shown}
    assert {row.file for row in active_rows(review.folder, made.split())}.isdisjoint(bad)
    assert [click(review, after, index) for index in (0, 1)] == ["", ""]
    assert not (review.folder / FILTERED).exists()


def test_two_pages_do_not_lose_each_others_choices(review):
    one = other = review.page("bar", 1)
    click(review, one, 0)
    click(review, other, 1)
    assert [image.is_used for image in review.page("bar", 1).shown[:3]] == [False, False, True]
    assert "was dropped elsewhere already" in click(review, other, 0)
    assert review.page("bar", 1).used == 15


def test_a_click_after_images_were_generated_unmarks_none_of_them(made, review):
    page = review.page("cross", 1)
    settings = CdtgSampleSettings(n=9, block=8, **QUICK)
    request = GenerationRequest((made.split().class_called("cross"),), review.folder, settings)
    generate(made, request, Silent())
    click(review, page, 0)
    now = review.page("cross", 1)
    assert (now.used, now.total) == (22, 23)


def test_what_has_vanished_or_changed_meanwhile_is_said(made, review):
    page = review.page("cross", 1)
    (review.folder / page.shown[1].row.file).unlink()
    damage(review.folder / page.shown[2].row.file, "one bit")
    now = review.page("cross", 1)
    assert now.unreadable == ["cross/000001.png is gone", "cross/000002.png is damaged"]
    assert [image.row.file for image in now.shown] == ["cross/000000.png"]
    kept = [row for row in read_manifest(review.folder) if row.file != "cross/000001.png"]
    first = kept[14].model_copy(update={"sha256": "0"})
    lines = [row.model_dump_json() + "\n" for row in (*kept[:14], first, *kept[15:])]
    (review.folder / MANIFEST).write_text("".join(lines), encoding="utf-8")
    assert "is another image by now" in click(review, page, 0)
    assert "is no longer there" in click(review, page, 1)
    assert not (review.folder / FILTERED).exists()


def test_a_click_waits_for_nobody_and_leaves_one_image(review):
    write_filtered(review.folder, [next(read_manifest(review.folder))])
    page = review.page("bar", 1)
    with pytest.raises(UserError, match="no image would be left"):
        click(review, page, 0)
    with (
        other_process("exclusive_writer", review.folder),
        pytest.raises(UserError, match="another process uses"),
    ):
        click(review, page, 1)


def test_a_filter_waits_for_no_other_writer(made):
    settings = FilterSettings(device="cpu", extractor="tail")
    with (
        other_process("exclusive_writer", made.generated),
        pytest.raises(UserError, match="another process uses"),
    ):
        filter_run(made, settings, None, Silent())


def test_an_address_that_cannot_be_used_is_one_line(monkeypatch, capsys, fake_run):
    tgn = in_process(main, monkeypatch, capsys)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = [tgn("app", "--port", str(one)) for one in (0, 65536, port)]
    done.append(tgn("app", "--host", "203.0.113.9"))
    assert [(one.code, one.stderr.count("error: ")) for one in done] == [(2, 1)] * 4
    said = [" ".join(one.stderr.split()).removeprefix("error: --") for one in done[2:]]
    assert said == [
        f"host 127.0.0.1 --port {port} cannot be used: Address already in use; try another",
        "host 203.0.113.9 cannot be used: Cannot assign requested address; try another",
    ]


@contextmanager
def served(run, temporary: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve the page of a run by the real command; give its address and its process."""
    command = [sys.executable, "-m", "tgn", "app", "--run", run.name, "--device", "cpu"]
    temporary.mkdir()
    place = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=place) as server:
        try:
            found = (re.search(r"http://\S+", line) for line in server.stdout)
            yield next(url[0] for url in found if url), server
        finally:
            server.terminate()


def status(url: str, data: bytes | None = None, **headers: str) -> int:
    """Return how a request is answered."""
    try:
        return urlopen(Request(url, data, headers), timeout=20).status
    except HTTPError as error:
        return error.code


FILE = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhi\r\n--x--\r\n'
)


@pytest.mark.skipif(not BROWSER, reason="needs Debian's chromium")
def test_in_a_browser(made, in_tmp):
    """Draw, move the slider, drop images on two pages; nothing is requested of another machine."""
    pytest.importorskip("gradio")
    playwright = pytest.importorskip("playwright.sync_api")
    temporary = in_tmp / "temporary"
    with served(made, temporary) as (url, server):
        assert url.startswith("http://127.0.0.1:")
        upload = f"{url}/gradio_api/upload"
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        assert [status(url), status(url, Host="evil.example")] == [200, 403]
        assert [status(one, FILE, **form) for one in (upload, f"{upload}/")] == [403, 403]
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            use_as_a_person_would(browser, url, made.path / "generated")
            browser.close()
        assert list(temporary.glob("tgn-app-*/*"))
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 130
    assert list(temporary.glob("*")) == []


def enter(tab, slider: str, value: str) -> None:
    field = tab.locator(f"{slider} input[type=number]")
    field.fill(value)
    field.press("Enter")


def use_as_a_person_would(browser, url: str, folder: Path) -> None:
    tab, other = browser.new_page(), browser.new_page()
    requested, errors = [], []
    tab.on("request", lambda request: requested.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(url)
    other.goto(url)
    pictures = tab.locator("#generated img")
    pictures.nth(7).wait_for(timeout=120_000)  # the first ones wait for the judge to load
    assert "Nearest training images are those" in tab.locator("#title").inner_text()
    before = pictures.first.get_attribute("src")
    enter(tab, "#generate-noise", "1")
    tab.wait_for_function(
        "old => document.querySelector('#generated img').getAttribute('src') != old", arg=before
    )
    for page in (tab, other):
        page.get_by_role("tab", name="Review").click()
        page.locator("#reviewed img").nth(11).wait_for()
        assert "17 of 17" in page.locator("#review-state").inner_text()
    tab.locator("#reviewed img").nth(1).click()
    tab.get_by_text("16 of 17 images are used").wait_for()
    other.locator("#reviewed img").nth(1).click()
    other.get_by_text("bar/000001.png was dropped elsewhere already").wait_for()
    other.locator("#reviewed img").nth(3).click()
    other.get_by_text("15 of 17 images are used").wait_for()
    kept = (folder / FILTERED).read_text(encoding="utf-8")
    assert [f'"bar/00000{k}.png"' in kept for k in range(5)] == [True, False, True, False, True]
    enter(tab, "#review-page", "2")
    tab.wait_for_function("document.querySelectorAll('#reviewed img').length == 2")
    assert [one for one in requested if not one.startswith((url, "data:", "blob:"))] == []
    assert errors == []
