"""The tiny checkpoint's text side: CLIP's own tokenizer and encoder classes over a vocabulary built from its captions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
MAX_TOKENS = 77
"""Length that every prompt is padded to, CLIP's own."""


def write_tokenizer(folder: Path, captions: Iterable[str]) -> CLIPTokenizer:
    """Write a CLIP vocabulary and merge list that knows the words of the captions, and load it.

    Words outside the captions still encode, byte by byte, as in CLIP. `folder` must exist.
    """
    merges = _merges(_words(captions))
    letters = _byte_letters()
    tokens = letters + [letter + _WORD_END for letter in letters] + ["".join(pair) for pair in merges] + [_START, _END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)


def build_text_encoder(tokenizer: CLIPTokenizer, hidden_size: int) -> CLIPTextModel:
    """A CLIPTextModel of two layers with random weights from torch's global generator."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        projection_dim=hidden_size,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.get_vocab()[_START],
        eos_token_id=tokenizer.get_vocab()[_END],
        pad_token_id=tokenizer.get_vocab()[_END],
    )
    return CLIPTextModel(config)


def _words(captions: Iterable[str]) -> list[str]:
    """Different words in lower case without numbers, sorted; punctuation stands apart, as CLIP splits it."""
    found = {word.strip(",.!?") for caption in captions for word in caption.lower().split()}
    return sorted(word for word in found if word.isalpha() and word.isascii())


def _merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges that grow each word from its first letter to its last."""
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        pieces = [*word[:-1], word[-1] + _WORD_END]
        while len(pieces) > 1:
            merges[pieces[0], pieces[1]] = None
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return list(merges)


def _byte_letters() -> list[str]:
    """The 256 printable stand-ins for bytes of byte-level BPE (Radford et al. 2019), in GPT-2's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
