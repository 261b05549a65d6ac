"""Numbers of settings with the range in which they make sense: one type an idea.

The upper ends are far above what is of use. They stop a slip of the keyboard before it fills the
memory or trains for a century.
"""

from typing import Annotated

from pydantic import Field

LARGEST_SIDE = 8192  # of an image, in pixels

Steps = Annotated[int, Field(ge=1, le=10**8)]
Count = Annotated[int, Field(ge=1, le=10**7)]
"""Of images."""
Rounds = Annotated[int, Field(ge=1, le=1000)]
BatchSize = Annotated[int, Field(ge=1, le=16_384)]
PairedBatchSize = Annotated[int, Field(ge=2, le=16_384)]
"""Of which batch statistics are taken."""
Side = Annotated[int, Field(ge=16, le=LARGEST_SIDE)]
"""Of images, in pixels."""
Bands = Annotated[int, Field(ge=1, le=64)]
Symmetries = Annotated[int, Field(ge=1, le=8)]
Width = Annotated[int, Field(ge=16, multiple_of=16, le=2048)]
"""Channels."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
"""Of a loss; or another factor that may be 0."""
Factor = Annotated[float, Field(gt=0, le=1e6)]
LearningRate = Annotated[float, Field(gt=0, le=100)]
Temperature = Annotated[float, Field(gt=0, le=1e4)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
Imbalance = Annotated[float, Field(ge=1, le=1e6)]
"""Largest over smallest count."""
