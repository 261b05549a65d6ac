"""Drawing a few images at once, as the slider moves."""

from tgn.app.lookalikes import Lookalikes, Trio
from tgn.generation.generate import Studio
from tgn.generation.settings import GenerateSettings


def draw(
    studio: Studio, lookalikes: Lookalikes, folder: str, settings: GenerateSettings
) -> list[Trio]:
    """Draw the first ``settings.block`` images of a class.

    They are those that ``tgn generate`` makes with this seed and noise, up to the last bit of a
    pixel, which depends on how many are drawn at once.

    Args:
        studio: painter and feature bank.
        lookalikes: real images to put beside.
        folder: folder name of a tail class.
        settings: noise, seed and, as ``block``, how many.

    Raises:
        UserError: if there is no such tail class.
    """
    label = studio.split.tail_class(folder)
    images_u8, origins = studio.draw_block(label, 0, settings)
    return lookalikes.beside(images_u8, [studio.bank.files[source] for source, _ in origins])
