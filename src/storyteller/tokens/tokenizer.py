"""A model's tokenizer, read from its folder by the light `tokenizers` library."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from storyteller.errors import ModelError
from storyteller.runs.files import file_sha256, read_json

__all__ = ["StoryTokenizer"]

_END_OF_TURN = "<|im_end|>"
_END_OF_TEXT = "<|endoftext|>"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_METASPACE = "▁"


class StoryTokenizer:
    """Text to ids and back, exactly: `decode(encode(a) + encode(b)) == a + b` for byte-level and byte-fallback models.

    Nothing is added at the start of a text (no special token, no invented space), and a text that spells a special
    token, such as `<|im_end|>`, is encoded as the plain characters that it is. Control tokens are put in by id, by the
    template alone.
    """

    def __init__(self, tokenizer: Tokenizer, settings: dict[str, Any], sha256: str) -> None:
        """Take a tokenizer made position-free and the merged JSON settings of its folder; see `load`."""
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.sha256 = sha256
        self.vocabulary_size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self._special = {index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self.bos_id: int | None = self._first(settings, "bos_token")
        self.eos_id: int | None = self._first(settings, "eos_token")
        ends = [self.id_of(_END_OF_TURN), self.eos_id, *_as_list(settings.get("eos_token_id"))]
        ends.append(self.id_of(_END_OF_TEXT))  # a chat model whose eos ends its turn may still end the text instead
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys(i for i in ends if isinstance(i, int)))
        pad = self._first(settings, "pad_token")
        # Any id would do: padding is masked by length, never by id.
        self.pad_id: int = pad if pad is not None else (self.stop_ids[0] if self.stop_ids else 0)
        self._byte_of = _byte_level_alphabet() if _is_byte_level(tokenizer) else None

    @classmethod
    def load(cls, folder: Path) -> StoryTokenizer:
        """Load `tokenizer.json` and what `tokenizer_config.json` and its like say of bos, eos and padding.

        Raises `ModelError` when the folder has no readable `tokenizer.json`.
        """
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise ModelError(
                f"{folder}: no tokenizer.json. Give the folder of a transformers model with a fast tokenizer, "
                "or fetch one with: storyteller models pull smollm2-135m-instruct"
            )
        settings: dict[str, Any] = {}
        # Later files win: what the tokenizer says of itself counts more than what the model's configuration says.
        for name in ("config.json", "generation_config.json", "special_tokens_map.json", "tokenizer_config.json"):
            if (path.parent / name).is_file():
                settings |= _read_settings(path.parent / name)
        try:
            definition = json.loads(path.read_text(encoding="utf-8"))
            tokenizer = Tokenizer.from_str(json.dumps(_position_free(definition, settings)))
        except Exception as error:  # the library raises bare Exception for anything it cannot read
            raise ModelError(f"{path}: cannot be read as a tokenizer ({error}). Fetch the model again.") from error
        return cls(tokenizer, settings, file_sha256(path))

    def encode(self, text: str) -> list[int]:
        """The ids of `text` as plain text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, by the library's own threads."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_places(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """The ids of each text, and the place of each in the text as (start, end) in characters."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; special tokens give nothing."""
        text: str = self._tokenizer.decode([i for i in ids if i not in self._special], skip_special_tokens=True)
        return text

    def id_of(self, token: str) -> int | None:
        """The id of a token by its spelling in the vocabulary, or `None`."""
        index: int | None = self._tokenizer.token_to_id(token)
        return index

    def token(self, index: int) -> str:
        """The spelling of an id in the vocabulary, for display."""
        return self._tokenizer.id_to_token(index) or f"<{index}>"

    def is_special(self, index: int) -> bool:
        """Whether an id is a control token, which no text can spell."""
        return index in self._special

    def token_bytes(self, index: int) -> bytes:
        """The bytes that an id adds to the text, perhaps a part of a character; none for a special token."""
        spelling = self._tokenizer.id_to_token(index)
        if spelling is None or index in self._special:
            return b""
        if self._byte_of is not None:
            codes = [self._byte_of.get(character) for character in spelling]
            # A character outside the alphabet stands only in added tokens, which are spelled as they are.
            return spelling.encode() if None in codes else bytes(code for code in codes if code is not None)
        if match := _BYTE_TOKEN.fullmatch(spelling):
            return bytes([int(match[1], 16)])
        return spelling.replace(_METASPACE, " ").encode()

    def _first(self, settings: dict[str, Any], name: str) -> int | None:
        """The id of a named special token; a token set to null is none, even if the model's configuration has an id."""
        if name in settings:
            token = settings[name]
            return self.id_of(token["content"] if isinstance(token, dict) else token) if token else None
        ids = [i for i in _as_list(settings.get(f"{name}_id")) if isinstance(i, int)]
        return ids[0] if ids else None


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = read_json(path)
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error}). Fetch the model again.") from error
    return settings if isinstance(settings, dict) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _position_free(definition: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer's JSON without the space that Llama-like and GPT-like models invent before a text.

    A prompt and a completion are encoded apart, so an invented space would appear between them. Control tokens that
    the file forgot to mark special are marked, so that no story can spell them.
    """
    named = {"<|im_start|>", _END_OF_TURN}
    for key in ("bos_token", "eos_token", "pad_token"):
        token = settings.get(key)
        named.add(str(token["content"] if isinstance(token, dict) else token))
    for token in definition.get("added_tokens") or ():
        token["special"] = token["special"] or token["content"] in named
    for part in _parts(definition.get("pre_tokenizer"), "pretokenizers"):
        if part["type"] == "Metaspace":
            part["prepend_scheme"] = "never"
            part.pop("add_prefix_space", None)
        elif part["type"] == "ByteLevel":
            part["add_prefix_space"] = False
    for part in _parts(definition.get("decoder"), "decoders"):
        if part["type"] == "Metaspace":
            part["prepend_scheme"] = "never"
            part.pop("add_prefix_space", None)
        elif part["type"] == "Strip":
            part["start"] = 0
    for part in _parts(definition.get("normalizer"), "normalizers"):
        if part["type"] == "Prepend":  # becomes a replacement of nothing by nothing
            part |= {"type": "Replace", "pattern": {"String": _METASPACE}, "content": _METASPACE}
            part.pop("prepend", None)
    return definition


def _parts(step: dict[str, Any] | None, plural: str) -> list[dict[str, Any]]:
    """A step of the pipeline as the list of its parts, itself when it is no sequence."""
    if step is None:
        return []
    return [inner for part in step[plural] for inner in _parts(part, plural)] if step["type"] == "Sequence" else [step]


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    decoder = json.loads(tokenizer.to_str()).get("decoder")
    return any(part["type"] == "ByteLevel" for part in _parts(decoder, "decoders"))


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 stands for itself, the other 68 bytes follow from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
