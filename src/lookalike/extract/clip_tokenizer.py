"""open_clip's own tokenizer in the format of the library `tokenizers`, which needs no torch."""

from __future__ import annotations

import json
from typing import Any

from ..errors import RecipeError

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# What `ftfy` makes of the quotes that word processors put in.
_PLAIN = {"[‘’‚‛ʼ]": "'", "[“”„‟]": '"'}  # noqa: RUF001


def as_json(tokenizer: Any, context: int, model: str) -> str:
    """`tokenizer`: open_clip's `SimpleTokenizer`; its ids cut and padded with 0 to `context`."""
    merges = getattr(tokenizer, "bpe_ranks", None)
    if merges is None or tokenizer.clean_fn.__name__ != "_clean_lower" or tokenizer.reduction_fn:
        raise RecipeError(f"the tokenizer of {model} cannot be written as a file of `tokenizers`")
    start, end = tokenizer.all_special_ids[:2]
    names = {id: tokenizer.decoder[id] for id in (start, end)}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": {
                "direction": "Right",
                "max_length": context,
                "strategy": "LongestFirst",
                "stride": 0,
            },
            "padding": {
                "strategy": {"Fixed": context},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": tokenizer.decoder[0],
            },
            "added_tokens": [_special(id, name) for id, name in names.items()],
            "normalizer": _normalizer(),
            "pre_tokenizer": _pre_tokenizer(),
            "post_processor": _around(names[start], start, names[end], end),
            "decoder": {"type": "ByteLevel", **_BYTES},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "fuse_unk": False,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "</w>",
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": tokenizer.encoder,
                "merges": [list(pair) for pair in sorted(merges, key=merges.__getitem__)],
            },
        },
        ensure_ascii=False,
    )


_BYTES = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def _special(id: int, name: str) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": name, **plain, "special": True}


def _normalizer() -> dict[str, Any]:
    replaced = [{"Regex": pattern} for pattern in (*_PLAIN, r"\s+")]
    by = [*_PLAIN.values(), " "]
    steps = [
        {"type": "NFC"},
        *(
            {"type": "Replace", "pattern": pattern, "content": content}
            for pattern, content in zip(replaced, by, strict=True)
        ),
        {"type": "Lowercase"},
    ]
    return {"type": "Sequence", "normalizers": steps}


def _pre_tokenizer() -> dict[str, Any]:
    """Words, digits one by one, and runs of anything else; then bytes as characters."""
    words = {
        "type": "Split",
        "pattern": {"Regex": _WORDS},
        "behavior": "Removed",
        "invert": True,
    }
    return {"type": "Sequence", "pretokenizers": [words, {"type": "ByteLevel", **_BYTES}]}


def _around(start: str, start_id: int, end: str, end_id: int) -> dict[str, Any]:
    first, last = ({"SpecialToken": {"id": name, "type_id": 0}} for name in (start, end))
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text, last],
        "pair": [first, text, last],
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]}
            for name, id in ((start, start_id), (end, end_id))
        },
    }
