"""The storyteller: a model, its tokenizer and its template behind two verbs, `write` and `tell`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from storyteller.corpus.story import LANGUAGES, Language
from storyteller.errors import GenerationError
from storyteller.generate.constraint import Constraint
from storyteller.generate.engine import BatchEngine, Engine, open_batch, open_engine
from storyteller.generate.many import write_many
from storyteller.generate.requests import build_request
from storyteller.generate.sampling import Sampler, SamplingSettings, breaker_ids, name_ids
from storyteller.generate.writing import Renders, Token, Told, Writing
from storyteller.tokens import StoryTokenizer, Template
from storyteller.tokens.request import Character, Request

__all__ = ["Storyteller"]

#: The bound on tokens when the writer names no length: about 700 words.
MAX_TOKENS = 1024

#: Stories that are written at once. Measured by benchmarks/batch.py.
ROWS = 16


class Storyteller:
    """Writes stories with one model.

    >>> teller = Storyteller.load()
    >>> for token in teller.write("A lighthouse keeper finds a talking seal", words=300, seed=1):
    ...     print(token.text, end="")
    """

    def __init__(
        self, engine: Engine, template: Template, *, name: str = "model", languages: Sequence[str] = LANGUAGES
    ) -> None:
        """Take the parts as they are; `load` puts them together by a model's name."""
        self.engine = engine
        self.template = template
        self.tokenizer: StoryTokenizer = template.tokenizer
        self.name = name
        self.languages = tuple(languages) or LANGUAGES  # nothing is said of a model from a folder
        stops = set(self.tokenizer.stop_ids)
        known = self.tokenizer.vocabulary_size
        controls = {index for index in range(known) if self.tokenizer.is_special(index)}
        # No text spells a control token, and rows beyond the tokenizer's vocabulary are padding of the weights.
        self._banned = (controls - stops) | set(range(known, engine.vocabulary_size))
        self._breakers = breaker_ids(self.tokenizer)

    @classmethod
    def load(cls, model: str = "default", engine: str = "auto", *, context: int | None = None) -> Storyteller:
        """Load a model by its name in the catalogue or on the hub, its folder, its run or its `.gguf` file.

        `engine` is `auto`, `llama` or `torch` (see `open_engine`). Raises `ModelError` when the model cannot be had.
        """
        from storyteller.models import locate

        located = locate(model)
        tokenizer = StoryTokenizer.load(located.folder)
        template = Template.load(located.template_folder, tokenizer)
        opened = open_engine(located, engine, context)
        return cls(opened, template, name=located.name, languages=located.languages)

    def write(
        self,
        prompt: str | Request,
        *,
        form: str = "story",
        language: str | None = None,
        words: int | None = None,
        title: str | None = None,
        characters: Sequence[Character] = (),
        temperature: float = 0.8,
        min_p: float = 0.05,
        dry: bool = True,
        seed: int | None = None,
        max_tokens: int | None = None,
        alternatives: int = 0,
        settings: SamplingSettings | None = None,
        constraint: Constraint | None = None,
        template: Renders | None = None,
        begun: Sequence[Token] = (),
        exact: bool = False,
    ) -> Writing:
        """Begin a story; iterate over what is returned for its `Token`s, one by one.

        `prompt` is what the story is about, or a `Request`, which brings its own form, language, words, title and
        characters. The language is that of the prompt unless it is given. The same seed gives the same story on the
        same engine; without one it is drawn, and reported by `Writing.seed`. `alternatives` is the number of likely
        tokens reported beside each. `settings` replaces `temperature`, `min_p` and `dry`; a `constraint` is kept in
        any case. `template` renders the request in place of the model's own; `begun` are tokens of another story
        with this request, from which it goes on. `exact` takes `max_tokens` to the letter (see `Writing`). Raises
        `GenerationError` for a request that cannot be met.
        """
        if isinstance(prompt, Request):
            request = prompt
        else:
            request = build_request(
                prompt, form=form, language=language, words=words, title=title, characters=characters
            )
        self._check_language(request.language)
        if seed is None:
            seed = secrets.randbelow(1 << 31)
        if seed < 0:
            raise GenerationError(f"the seed is {seed}; it must be 0 or more.")
        if max_tokens is not None and max_tokens < 1:
            raise GenerationError(f"max_tokens is {max_tokens}; it must be 1 or more.")
        if settings is None:
            settings = SamplingSettings(temperature, min_p, dry_multiplier=0.8 if dry else 0.0)
        breakers = self._breakers | name_ids(self.tokenizer, (person.name for person in request.characters))
        sampler = Sampler(settings, seed, breakers, self._banned, alternatives)
        if max_tokens is None:
            # Far above what a wish needs (a 字 may be three tokens): the wish ends the story, not this.
            max_tokens = 8 * request.words + 64 if request.words else MAX_TOKENS
        return Writing(
            self.engine,
            template or self.template,
            request,
            sampler,
            model=self.name,
            max_tokens=max_tokens,
            constraint=constraint,
            begun=begun,
            exact=exact,
        )

    def tell(self, prompt: str | Request, **options: Any) -> Told:
        """Write a whole story; the options are those of `write`."""
        writing = self.write(prompt, **options)
        for _ in writing:
            pass
        return writing.told()

    def tell_many(
        self,
        prompts: Sequence[str | Request],
        *,
        seeds: Sequence[int] | None = None,
        rows: int | None = None,
        opened: Callable[[int], BatchEngine] | None = None,
        **options: Any,
    ) -> Iterator[tuple[int, Told | GenerationError]]:
        """Tell a story for each prompt, `rows` of them at once, and yield its index and the story when it is over.

        Each has its own seed and is what `tell` makes of the prompt with this seed and these options on the same
        engine, as far as rounding allows (a batch may add numbers in another order). A story that cannot be told does
        not end the others: its error stands in its place. Without `rows` as many as pay on this machine are written at
        once. `opened(context)` makes another batch than the engine's own, in whose first rows the first stories begin.
        Raises `GenerationError` for seeds that are not as many as the prompts, and for less than one row.
        """
        if seeds is not None and len(seeds) != len(prompts):
            raise GenerationError(f"{len(prompts)} prompts need as many seeds, and {len(seeds)} were given.")
        writings: dict[Writing, int] = {}
        refused: dict[int, GenerationError] = {}
        for index, prompt in enumerate(prompts):
            try:
                writings[self.write(prompt, seed=None if seeds is None else seeds[index], **options)] = index
            except GenerationError as error:
                refused[index] = error
        longest = max((writing.longest for writing in writings), default=1)
        several = min(ROWS if rows is None else rows, max(1, len(writings)))
        batch = opened(longest) if opened else open_batch(self.engine, several, longest)
        return self._tell_many(writings, refused, batch)

    def _tell_many(
        self, writings: dict[Writing, int], refused: dict[int, GenerationError], batch: BatchEngine
    ) -> Iterator[tuple[int, Told | GenerationError]]:
        try:
            yield from refused.items()
            for writing, error in write_many(writings, batch):
                for _ in writing if error is None else ():  # shows what is still held back
                    pass
                yield writings[writing], error or writing.told()
        finally:
            batch.close()

    def close(self) -> None:
        """Free the model."""
        self.engine.close()

    def _check_language(self, language: Language) -> None:
        if language not in self.languages:
            other = "gemma3-270m" if language == "zh" else "smollm2-135m-instruct"
            raise GenerationError(
                f"the model {self.name} does not write in {language!r} (it knows: "
                f"{', '.join(self.languages)}). Fetch one that does: storyteller models pull {other}; then add "
                f"--model {other}. Or ask for another language with --lang."
            )
