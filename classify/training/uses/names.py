"""The values of ``generated_use`` and what each of them means; imports nothing heavy."""

from collections.abc import Mapping
from typing import Literal, get_args

GeneratedUseName = Literal[
    "beside", "first", "blended", "background", "pasted", "curriculum", "soft", "features"
]
BESIDE: GeneratedUseName = "beside"
OTHER_USES: tuple[GeneratedUseName, ...] = get_args(GeneratedUseName)[1:]
OF_CMO: tuple[GeneratedUseName, ...] = ("background", "pasted")

# What the places are that generated images get, as the plan of a training says it.
PLACES: Mapping[GeneratedUseName, str] = {
    "beside": "the places",
    "first": "the places",
    "blended": "the places (each joined with a real image)",
    "background": "the places (of backgrounds of CMO)",
    "pasted": "the places (of pasted parts of CMO)",
    "curriculum": "the places (from the largest noise ratio to the smallest)",
    "soft": "the places (with soft labels)",
    "features": "the places (for the features alone)",
}
