import threading

import pytest
import torch
from tests_support import write_generated

from tgn.data.batches import Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.manifest import image_set, read_manifest
from tgn.runtime.errors import DataError


def test_the_next_batch_is_made_while_this_one_is_used():
    made, second = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 1:
            second.set()
        return 10 * step

    ahead = Prefetcher(make, 100)
    assert ahead(0) == 0
    assert second.wait(5)  # nobody has asked for step 1
    assert [ahead(step) for step in (1, 2, 7, 8, 3)] == [10, 20, 70, 80, 30]
    assert made[:3] == [0, 1, 2]


def test_several_batches_are_made_at_the_same_time_and_come_in_order():
    together = threading.Barrier(3, timeout=5)

    def make(step):
        if step in (1, 2, 3):
            together.wait()  # none of the three is done before the others are begun
        return 10 * step

    ahead = Prefetcher(make, 6, ahead=3)
    assert [ahead(step) for step in range(6)] == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("count", [1, 4])
def test_nothing_is_made_after_the_last_step(count):
    ahead = Prefetcher([10, 20].__getitem__, 2, ahead=count)
    assert [ahead(0), ahead(1)] == [10, 20]


def test_an_error_comes_up_at_the_step_it_belongs_to():
    def make(step):
        if step == 2:
            raise DataError("no file")
        return step

    ahead = Prefetcher(make, 100)
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(DataError, match="no file"):
        ahead(2)


def test_images_that_do_not_fit_into_the_memory_given_are_decoded_at_every_use(fake_folder):
    files = sorted((fake_folder({"a": 3, "b": 2})).rglob("*.png"))
    held, streamed = (ImageSet(files, [0] * len(files), 16, cache_bytes=b) for b in (1 << 20, 0))
    rows = torch.tensor([3, 0, 3])
    assert torch.equal(held.batch(rows), streamed.batch(rows))
    assert held._cache is not None
    assert streamed._cache is None


def test_a_file_that_changed_under_a_run_is_noticed(fake_run):
    split = fake_run.split()
    images = split.image_set("train", fake_run.path, 16)
    images.batch(torch.arange(len(images)))
    victim = images.files[3]
    victim.write_bytes(images.files[4].read_bytes())
    changed = split.image_set("train", fake_run.path, 16)
    with pytest.raises(DataError, match="not what it was"):
        changed.batch(torch.tensor([0]))
    part = ImageSet(changed.files, changed.labels, 16, cache_bytes=0, checksums=changed.checksums)
    part.batch(torch.tensor([0, 4]))  # what is not looked at is not missed
    with pytest.raises(DataError, match=victim.name):
        part.subset(torch.tensor([2, 3])).batch(torch.tensor([1]))


def test_a_generated_image_that_changed_is_noticed(fake_run):
    folder, split = write_generated(fake_run, 3, 4), fake_run.split()
    rows = list(read_manifest(folder))
    image_set(folder, rows, split, 16).batch(torch.arange(4))
    with (folder / rows[2].file).open("ab") as file:
        file.write(b" ")
    with pytest.raises(DataError, match="not what it was"):
        image_set(folder, rows, split, 16).batch(torch.arange(4))
