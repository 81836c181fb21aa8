"""WordPiece tokenizer: trained on a corpus's own reports, or a pretrained one."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import AutoTokenizer

from medistill.errors import CallError, MedistillError, first_line
from medistill.model.names import name_like
from medistill.model.towers.sentence import text_source

PAD, UNKNOWN, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
log = logging.getLogger(__name__)
_LISTED = 20
_ALPHABET = list("abcdefghijklmnopqrstuvwxyz0123456789.,;:-/()%'+<>=")


def train_tokenizer(
    texts: Sequence[str], patients: Sequence[str], *, vocabulary: int, min_patients: int
) -> Tokenizer:
    """WordPiece over words that occur in the reports of at least `min_patients` patients.

    The vocabulary ships inside the model and must not hold names; a rarer word is spelled from pieces.
    """
    words = list(_shared_words(texts, patients, min_patients))
    if not words:
        raise MedistillError(
            f"no word occurs in the reports of {min_patients} patients (there are {len(set(patients))}), so "
            "no vocabulary can be trained; lower --min-patients knowing that rare words may be names"
        )
    tokenizer = _split_like_bert(models.WordPiece(_vocabulary(words, vocabulary), unk_token=UNKNOWN))
    ends = [(token, tokenizer.token_to_id(token) or 0) for token in (SEP, CLS)]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    _warn_of_names(texts, tokenizer)
    return tokenizer


def _warn_of_names(texts: Sequence[str], tokenizer: Tokenizer) -> None:
    """By their numbers: a name that many patients share passes `min_patients`, and no log should hold it."""
    vocabulary = tokenizer.get_vocab()
    names = name_like(texts, sorted(vocabulary))
    if names:
        numbers = ", ".join(str(vocabulary[name]) for name in names[:_LISTED])
        more = ", ..." if len(names) > _LISTED else ""
        log.warning(
            "%d words of the vocabulary look like names of people: look them up by their numbers in "
            "tokenizer.json of the model (%s%s), and take them out of the reports or raise --min-patients",
            len(names),
            numbers,
            more,
        )


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a pretrained text tower, from a folder or, by hub name, the network."""
    source, local = text_source(name)
    try:
        pretrained: Any = AutoTokenizer.from_pretrained(
            source, local_files_only=local, trust_remote_code=False
        )
    except Exception as error:  # tokenizers raises bare Exception
        raise CallError(f"cannot load the tokenizer of {name!r}: {first_line(error)}") from error
    if not pretrained.is_fast:
        raise CallError(f"the tokenizer of {name!r} has no tokenizer.json; see docs/offline.md")
    return pretrained.backend_tokenizer


def pad_id(tokenizer: Tokenizer) -> int:
    """Id of the padding token under any of its usual names."""
    ids = (tokenizer.token_to_id(token) for token in (PAD, "<pad>", "<|endoftext|>"))
    return next((i for i in ids if i is not None), 0)


def token_count(tokenizer: Tokenizer) -> int:
    """Rows that a table of embeddings needs: the highest id and one; ids may have gaps."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def tokenize(
    tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int
) -> tuple[Int[Tensor, "n l"], Bool[Tensor, "n l"]]:
    """Ids padded to the longest of `texts` and a mask that is True at tokens; cut to `max_tokens`."""
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=pad_id(tokenizer))
    rows = tokenizer.encode_batch_fast(list(texts))  # it does not note where in the text each token was
    # By way of NumPy: torch takes four times as long for lists.
    ids = np.array([row.ids for row in rows], np.int64)
    mask = np.array([row.attention_mask for row in rows], bool)
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _split_like_bert(model: models.Model) -> Tokenizer:
    """Lower case, accents off, split at spaces and punctuation."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _vocabulary(words: list[str], most: int) -> dict[str, int]:
    """WordPiece entries with their ids, the same each time.

    The trainer numbers continuing characters in the order of a randomized hash unless they are given to it,
    as special tokens; hence a scratch tokenizer whose vocabulary alone is kept.
    """
    scratch = _split_like_bert(models.WordPiece(unk_token=UNKNOWN))
    given = [PAD, UNKNOWN, CLS, SEP, *_ALPHABET, *(f"##{letter}" for letter in _ALPHABET)]
    trainer = trainers.WordPieceTrainer(vocab_size=most, special_tokens=given, show_progress=False)
    scratch.train_from_iterator(words, trainer)
    return scratch.get_vocab()


def _shared_words(texts: Sequence[str], patients: Sequence[str], least: int) -> Iterator[str]:
    """Every occurrence of a word that `least` patients share, as the tokenizer splits words."""
    splitter = _split_like_bert(models.WordPiece(unk_token=UNKNOWN))
    occurrences: list[str] = []
    holders: dict[str, set[str]] = defaultdict(set)
    for text, patient in zip(texts, patients, strict=True):
        normal = splitter.normalizer.normalize_str(text)
        for word, _ in splitter.pre_tokenizer.pre_tokenize_str(normal):
            occurrences.append(word)
            holders[word].add(patient)
    return (word for word in occurrences if len(holders[word]) >= least)
