"""Textual inversion: vectors that are read in the place of new words, some for each class.

Gal et al. 2022, arXiv 2208.01618: only the embeddings of the new words are learned, by the
denoising loss on the images that they stand for; denoiser and text encoder stay as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tgn.data.prompts import TEMPLATES, Prompts, prompts_of, read_prompts
from tgn.data.split import Split


class LearnedWords(nn.Module):
    """The token embedding of a text encoder, with learned vectors for words it did not know.

    Args:
        embedding: of the words it knows.
        first: token of the first new word; the others follow.
        vectors: of the new words, [N, D].
    """

    def __init__(self, embedding: nn.Embedding, first: int, vectors: Tensor) -> None:
        super().__init__()
        self.embedding, self.first = embedding, first
        self.vectors = nn.Parameter(vectors)

    @property
    def weight(self) -> Tensor:
        """Embeddings of the words that were known, as others ask the module for them."""
        return self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return embeddings [..., D] of tokens [...]."""
        is_new = tokens >= self.first
        known = self.embedding(tokens.where(~is_new, 0))
        learned = self.vectors[(tokens - self.first).clamp(min=0)]
        return torch.where(is_new[..., None], learned.to(known.dtype), known)


def add_words(pipeline: Any, split: Split, vectors: int) -> LearnedWords:
    """Give a pipeline new words for every class; they begin as the mean of its name's words.

    Args:
        pipeline: its tokenizer learns the words, its text encoder how they are read.
        split: of the run.
        vectors: words a class.

    Returns:
        The text encoder's new token embedding; word j of class k is row k * vectors + j.
    """
    tokenizer, embedding = pipeline.tokenizer, pipeline.text_encoder.get_input_embeddings()
    means = [_mean_embedding(tokenizer, embedding, name) for name in split.names]
    initial = torch.stack(means).repeat_interleave(vectors, 0)
    words = [word for label in range(split.num_classes) for word in _words(label, vectors)]
    tokenizer.add_tokens(words)
    first = int(tokenizer.convert_tokens_to_ids(words[0]))
    learned = LearnedWords(embedding, first, initial).to(initial.device)
    pipeline.text_encoder.set_input_embeddings(learned)
    return learned


def prompts_with_words(file: Path, split: Split, vectors: int) -> Prompts:
    """Return the prompts of each class, its words in the place of its name.

    Args:
        file: the run's ``prompts.yaml``; a description in it comes behind the words.
        split: of the run.
        vectors: words a class.

    Raises:
        UserError: as :func:`tgn.data.prompts.read_prompts`.
    """
    phrases = [" ".join(_words(label, vectors)) for label in range(split.num_classes)]
    written = [own[len(TEMPLATES) :] for own in read_prompts(file, split)]
    made = zip(phrases, prompts_of(phrases), written, strict=True)
    return [[*prompts, *(f"{phrase}, {text}" for text in own)] for phrase, prompts, own in made]


def _words(label: int, vectors: int) -> Sequence[str]:
    """Return the new words of a class; no tokenizer knows them."""
    return [f"<tgn-class-{label}-{number}>" for number in range(vectors)]


@torch.no_grad()
def _mean_embedding(tokenizer: Any, embedding: nn.Embedding, name: str) -> Tensor:
    tokens = tokenizer(name, add_special_tokens=False, return_tensors="pt").input_ids[0]
    return embedding(tokens.to(embedding.weight.device)).mean(0).float()
