"""The template: one object that renders a request for training and for writing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from storyteller.errors import ModelError
from storyteller.runs.files import read_json, write_json
from storyteller.tokens.controls import FORM_TOKENS, TEXT
from storyteller.tokens.request import Request
from storyteller.tokens.tokenizer import StoryTokenizer
from storyteller.tokens.wording import request_text

__all__ = ["TEMPLATE_FILE", "TEMPLATE_VERSIONS", "Example", "Template", "TemplateKind"]

TemplateKind = Literal["chatml", "plain", "forms"]

#: The file beside a model's weights that names the template it was trained with.
TEMPLATE_FILE = "storyteller_template.json"

#: A kind's rises whenever the same request gives other tokens; shards and models of another version are not mixed.
TEMPLATE_VERSIONS: dict[TemplateKind, int] = {"chatml": 1, "plain": 2, "forms": 1}


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: its ids, and for each whether it is a label (1) or only read (0)."""

    ids: list[int]
    loss_mask: list[int]


class Template:
    """Renders requests as ids.

    Kind `chatml` is SmolLM2's own chat format: `<|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n…<|im_end|>`,
    without the default system message of its own template: it says nothing about the story, costs 20 tokens of every
    example, and what is left out in training and in use alike is not missed. Kind `plain` serves base models: the
    request's lines, a blank line, `Story:` and the story, then eos. New Chinese prose is indented as in print, which
    leads a base model into a story where it would often begin a numbered list. Kind `forms` is that of models pretrained
    here: a control token names the form, the request follows, and another control token begins the text.
    """

    def __init__(self, tokenizer: StoryTokenizer, kind: TemplateKind) -> None:
        """Bind a kind to a tokenizer; raises `ModelError` when it lacks the control tokens that the kind needs."""
        self.tokenizer = tokenizer
        self.kind: TemplateKind = kind
        start, end = tokenizer.id_of("<|im_start|>"), tokenizer.id_of("<|im_end|>")
        stop = end if kind == "chatml" else tokenizer.eos_id
        if stop is None or (kind == "chatml" and start is None):
            needed = "<|im_start|> and <|im_end|>" if kind == "chatml" else "an end-of-text token (eos)"
            raise ModelError(f"the template {kind} needs {needed}, and the tokenizer has none. Choose another model.")
        self._forms = _form_ids(tokenizer) if kind == "forms" else {}
        if kind == "forms" and not self._forms:
            raise ModelError("the template forms needs a token for each form, and the tokenizer has none.")
        self._start, self.stop_id = start, stop
        self._line_break, self._assistant = tokenizer.encode("\n"), tokenizer.encode("assistant\n")

    @property
    def version(self) -> int:
        """The version of this kind of template."""
        return TEMPLATE_VERSIONS[self.kind]

    @classmethod
    def for_tokenizer(cls, tokenizer: StoryTokenizer) -> Template:
        """The template that fits a tokenizer: `forms` or `chatml` when it has their tokens, `plain` otherwise."""
        if _form_ids(tokenizer):
            return cls(tokenizer, "forms")
        turns = tokenizer.id_of("<|im_start|>") is not None and tokenizer.id_of("<|im_end|>") is not None
        return cls(tokenizer, "chatml" if turns else "plain")

    @classmethod
    def load(cls, folder: Path, tokenizer: StoryTokenizer | None = None) -> Template:
        """The template that a model was trained with, or the one that fits its tokenizer when the folder names none.

        `tokenizer` is for an adapter's folder, which may hold no tokenizer of its own.
        """
        tokenizer = tokenizer or StoryTokenizer.load(folder)
        path = Path(folder) / TEMPLATE_FILE
        if not path.is_file():
            return cls.for_tokenizer(tokenizer)
        try:
            saved = read_json(path)
            kind, version = saved["kind"], saved["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path}: damaged. Delete it to use the tokenizer's own template.") from error
        if kind not in get_args(TemplateKind) or version != TEMPLATE_VERSIONS[kind]:
            raise ModelError(
                f"{path}: template {kind} version {version}; this Storyteller writes {_kinds()}. "
                "Train the model again, or delete the file to use the current template at a loss of quality."
            )
        return cls(tokenizer, kind)

    def save(self, folder: Path) -> None:
        """Write `storyteller_template.json`, after checking what must hold: see `check`."""
        self.check()
        write_json(Path(folder) / TEMPLATE_FILE, {"kind": self.kind, "version": self.version})

    def check(self) -> None:
        """Raise `ModelError` unless a prompt is a prefix of its example, has one BOS, and the stop token is a label."""
        for request in (Request(about="A seal."), Request(language="zh", about="一只海豹。", opening="从前")):
            prompt, example = self.prompt(request), self.example(request, "。 End <|im_end|>")
            if example.ids[: len(prompt)] != prompt or len(example.ids) <= len(prompt):
                raise ModelError(f"template {self.kind}: the prompt is no prefix of the example")
            bos = self.tokenizer.bos_id
            turns = 2 if bos == self._start and self.kind == "chatml" else 1
            if bos is not None and (prompt[0] != bos or prompt.count(bos) != turns):
                raise ModelError(f"template {self.kind}: the prompt does not begin with exactly one BOS")
            if (
                example.ids[-1] != self.stop_id
                or example.loss_mask[-1] != 1
                or example.ids.count(self.stop_id) != (2 if self.kind == "chatml" else 1 + (bos == self.stop_id))
            ):
                raise ModelError(f"template {self.kind}: the stop token is not the one trained end of the example")

    def prompt(self, request: Request) -> list[int]:
        """All ids before the first token of the completion: BOS, the request, and the opening that is forced.

        The completion follows the opening (or, in `continue`, the story so far) directly, so it begins with the space
        or the line break that comes next.
        """
        encode, bos = self.tokenizer.encode, self.tokenizer.bos_id
        # The writer's text is one piece with the words around it, and is plain text: it cannot end its own turn.
        if self.kind == "chatml":
            assert self._start is not None
            ids = [self._start, *encode(f"user\n{request_text(request)}"), self.stop_id]
            ids += [*self._line_break, self._start, *self._assistant]
        elif self.kind == "forms":
            ids = [self._forms[request.form], *encode(request_text(request)), self._forms[TEXT]]
        else:
            ids = encode(f"{request_text(request)}\n\n{_beginning(request)}")
        if bos is not None and ids[0] != bos:  # SmolLM2's BOS is <|im_start|>, which stands there already
            ids.insert(0, bos)
        # A piece of its own, so that the prompt without an opening is a prefix of the prompt with one.
        return ids + encode(request.opening.rstrip()) if request.opening else ids

    def example(self, request: Request, completion: str, ends: bool = True) -> Example:
        """The prompt and a completion, which alone is in the loss, with the stop token as its last label if it `ends`.

        Leave `ends` false for a passage cut from the middle of a story, or the model learns to stop there.
        """
        return self.join(self.prompt(request), self.tokenizer.encode(completion), ends)

    def join(self, prompt: list[int], completion: list[int], ends: bool) -> Example:
        """`example` for a prompt and a completion that are ids already."""
        labels = [*completion, self.stop_id] if ends else completion
        return Example(ids=prompt + labels, loss_mask=[0] * len(prompt) + [1] * len(labels))


def _form_ids(tokenizer: StoryTokenizer) -> dict[str, int]:
    """The ids of the control tokens of a request, by form, and that of `TEXT`; none unless all are there."""
    names: dict[str, str] = {**{str(form): token for form, token in FORM_TOKENS.items()}, TEXT: TEXT}
    found = {key: index for key, token in names.items() if (index := tokenizer.id_of(token)) is not None}
    return found if len(found) == len(names) else {}


def _beginning(request: Request) -> str:
    """The mark of a plain text after which the story comes."""
    if request.language == "en":
        return "Story:\n"
    prose = request.task == "write" and request.form in ("story", "chapter", "lesson", "fable")
    return "正文：\n　　" if prose else "正文：\n"


def _kinds() -> str:
    return " and ".join(f"{kind} version {version}" for kind, version in TEMPLATE_VERSIONS.items())
