"""The control tokens of the tokenizers that are trained here: ids 0, 1, 2, ... of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from storyteller.corpus.story import Form
from storyteller.errors import ModelError

if TYPE_CHECKING:
    from storyteller.tokens.tokenizer import StoryTokenizer

__all__ = ["CONTROL_TOKENS", "END", "FORM_TOKENS", "MASK", "TEXT", "mask_id_of"]

#: Ends a text, and stands before the next one: BOS and EOS in one, and the stop token.
END = "<|endoftext|>"
#: Hides a token from a masked model.
MASK = "<|mask|>"
#: Stands between a request and the text that answers it.
TEXT = "<|text|>"
#: Opens a request for a text of this form.
FORM_TOKENS: dict[Form, str] = {form: f"<|{form}|>" for form in get_args(Form)}
CONTROL_TOKENS = (END, MASK, TEXT, *FORM_TOKENS.values())


def mask_id_of(tokenizer: StoryTokenizer) -> int:
    """The id that hides a token; `ModelError` when the tokenizer has none."""
    for name in (MASK, "[MASK]", "<mask>"):
        if (found := tokenizer.id_of(name)) is not None:
            return found
    raise ModelError(
        f"this tokenizer has no mask token ({MASK}, [MASK] or <mask>), so no masked model can use it. "
        "Leave pretrain.tokenizer.model out, and one is trained."
    )
