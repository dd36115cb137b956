"""Training a tokenizer on a corpus: byte-level BPE that knows Chinese words, or one token for each character.

The result is an ordinary `tokenizer.json`. Any text survives it: what the corpus never showed is spelled in bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storyteller.corpus import read_split
from storyteller.corpus.story import Story
from storyteller.errors import DataError
from storyteller.recipe.pretraining import TokenizerRecipe
from storyteller.runs.console import say
from storyteller.runs.files import file_sha256, replacing_folder, write_json
from storyteller.tokens.controls import CONTROL_TOKENS, END, MASK
from storyteller.tokens.shards import content_hash
from storyteller.tokens.words import word_spans

__all__ = ["train_tokenizer"]

#: Rises whenever the same corpus gives another tokenizer.
_VERSION = 2
#: Characters that a tokenizer is trained on; more change it little and cost time.
_CHARACTERS = 100_000_000
_SEPARATOR = "\ue000"  # of the private use area: it cuts Chinese into words during training, and is not learned

# Words with the space before them, as GPT-4 cuts them, but Han characters apart from other letters, so that a token never
# joins two scripts. `[^\P{L}\p{Han}]` are the letters that are not Han.
_PATTERN = (
    r"['’](?i:s|t|re|ve|m|ll|d)(?!\p{L})"
    r"| ?[^\P{L}\p{Han}][^\P{L}\p{Han}\p{M}]*\p{M}*(?:[^\P{L}\p{Han}]|\p{M})*"
    r"|\p{Han}+"
    r"| ?\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(corpus: Path, recipe: TokenizerRecipe, *, masked: bool = False) -> Path:
    """The folder of the tokenizer trained on a prepared corpus's train split, made if it is not there.

    It holds `tokenizer.json` and `tokenizer_config.json` and lies under `<corpus>/tokenizers/<hash>`. A `masked` model's
    puts `<|endoftext|>` around a text for programs that ask for special tokens. Raises `DataError` when the corpus gives
    fewer tokens than `recipe.vocabulary` asks for.
    """
    train = corpus / "train.jsonl"
    read_split(corpus, "train")  # says how to make a corpus where there is none
    identity = {
        "version": _VERSION,
        "corpus": file_sha256(train),
        "kind": recipe.kind,
        "vocabulary": recipe.vocabulary if recipe.kind == "bytes" else None,
        "masked": masked,
    }
    folder = corpus / "tokenizers" / content_hash(identity)[:12]
    if (folder / "tokenizer.json").is_file():
        return folder
    say(f"training a tokenizer on {corpus}")
    tokenizer = _bytes(corpus, recipe.vocabulary) if recipe.kind == "bytes" else _characters(corpus)
    if masked:
        _surround(tokenizer)
    with replacing_folder(folder) as part:
        tokenizer.save(str(part / "tokenizer.json"))
        write_json(part / "tokenizer_config.json", _config())
    return folder


def _bytes(corpus: Path, vocabulary: int) -> Any:
    """Byte-level BPE (Sennrich et al. 2016, in GPT-2's spelling of bytes)."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    words = [
        pre_tokenizers.Split(Regex(_PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    # In training no merge may reach over a Chinese word: else the pieces of two characters that often meet become a
    # token, and a character is torn. In use runs of Han characters stay whole, and the merges find the words.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(_SEPARATOR, "removed"), *words])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(_cut, _texts(corpus)), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
    found = tokenizer.get_vocab_size()
    if found < vocabulary:
        raise DataError(
            f"{corpus}: its train split gives {found:,} tokens, and pretrain.tokenizer.vocabulary asks for {vocabulary:,}. "
            f"Set it to {found:,} at most (better to half of that), or prepare a larger corpus."
        )
    return tokenizer


def _characters(corpus: Path) -> Any:
    """One token for each character of the corpus, and bytes for those that it does not hold."""
    from tokenizers import Tokenizer, decoders, models

    alphabet = set().union(*map(set, (story.text for story in read_split(corpus, "train"))))
    # The sign that SentencePiece spells a space with is left to the bytes, or it would be read as one.
    ordered = [*(f"<0x{byte:02X}>" for byte in range(256)), *sorted(alphabet - {"▁"})]
    vocabulary = {token: index for index, token in enumerate((*CONTROL_TOKENS, *ordered))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(list(CONTROL_TOKENS))
    return tokenizer


def _texts(corpus: Path) -> Iterator[Story]:
    """The stories to learn from, of a large corpus as many as `_CHARACTERS` allow, from all over it.

    It lies in the order of its sources: the first of them alone may be all in one language.
    """
    characters = sum(len(story.text) for story in read_split(corpus, "train"))
    stride = max(1, -(-characters // _CHARACTERS))
    return itertools.islice(read_split(corpus, "train"), None, None, stride)


def _cut(story: Story) -> str:
    """The text, in Chinese with a mark between its words."""
    if story.language != "zh":
        return story.text
    return _SEPARATOR.join(story.text[start:end] for start, end in word_spans(story.text))


def _surround(tokenizer: Any) -> None:
    from tokenizers import processors

    end = tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A {END}", pair=f"{END} $A {END} $B {END}", special_tokens=[(END, end)]
    )


def _config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "cls_token": END,
        "sep_token": END,
        "mask_token": MASK,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
    }
