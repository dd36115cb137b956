"""`storyteller augment CORPUS --out FOLDER`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from storyteller.errors import DataError

__all__ = ["augment"]


def augment(
    corpus: Annotated[Path, typer.Argument(help="A folder written by `storyteller prepare`.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    copies: Annotated[
        int, typer.Option(min=0, max=16, help="Variants of each training story; 0: none of this kind.")
    ] = 1,
    names: Annotated[bool, typer.Option(help="Give people and places other names, the same through a story.")] = True,
    synonyms: Annotated[
        float, typer.Option(min=0, max=1, help="Chance of a word with a synonym to be exchanged.")
    ] = 0.15,
    url: Annotated[
        str | None, typer.Option(help="Also let a model tell sentences again: an OpenAI-compatible address.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model's name there.")] = "default",
    how: Annotated[str, typer.Option(help="paraphrase, or translate: to the other language and back.")] = "paraphrase",
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the narrated sentences that it is asked.")] = 0.3,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable with the API key; it is stored nowhere.")
    ] = "STORYTELLER_API_KEY",
    seed: Annotated[int, typer.Option(help="Decides names, words and sentences.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Add variants of the training stories: other names, other words, or sentences told again by a model."""
    import contextlib

    from storyteller.generate.remote import RemoteModel
    from storyteller.recipe.robustness import AugmentRecipe
    from storyteller.tokens.augment import Paraphraser, augment_corpus

    if how not in ("paraphrase", "translate"):
        raise DataError(f"--how is paraphrase or translate, not {how!r}.")
    if not url and (not copies or not (names or synonyms)):
        raise DataError("nothing would be changed: give copies with names or synonyms, or a model with --url.")
    recipe = AugmentRecipe(copies=copies, names=names, synonyms=synonyms) if copies and (names or synonyms) else None
    with RemoteModel(url, model, key_variable=key_variable) if url else contextlib.nullcontext() as client:

        def ask(words: str) -> str:
            assert client is not None
            return client.chat([{"role": "user", "content": words}], temperature=0.7, max_tokens=256, seed=seed).text

        paraphraser = Paraphraser(ask, share, how) if client is not None else None  # type: ignore[arg-type]
        made = augment_corpus(corpus, out, recipe, paraphraser, seed=seed)
    told = ", ".join(f"{count:,} {kind}" for kind, count in made["stories"].items())
    print(json.dumps(made, ensure_ascii=False) if as_json else f"Training stories: {told}.\nWritten to {out}")
