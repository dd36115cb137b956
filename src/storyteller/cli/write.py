"""`storyteller write "A lighthouse keeper finds a talking seal"`."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from storyteller.generate import Told, Writing
    from storyteller.tokens.request import Request

__all__ = ["write"]


def write(
    prompt: Annotated[str | None, typer.Argument(help="What the story is about.")] = None,
    form: Annotated[
        str | None, typer.Option(help="story (default), chapter, screenplay, play, dialogue, lesson or fable.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="en or zh; default: the language of the prompt.")] = None,
    words: Annotated[int | None, typer.Option(help="The wished length in words or 字.")] = None,
    title: Annotated[str | None, typer.Option(help="The title.")] = None,
    character: Annotated[list[str] | None, typer.Option(metavar="NAME:WHO", help="A person; may be repeated.")] = None,
    keyword: Annotated[list[str] | None, typer.Option(help="A word that should occur; may be repeated.")] = None,
    opening: Annotated[str | None, typer.Option(help="The first words, which the story goes on from.")] = None,
    model: Annotated[str | None, typer.Option(help="A model's name, folder, run or .gguf file.")] = None,
    temperature: Annotated[float, typer.Option(help="Higher is bolder; 0 takes the likeliest.")] = 0.8,
    min_p: Annotated[float, typer.Option(help="Drop what is less likely than this share of the likeliest.")] = 0.05,
    no_dry: Annotated[bool, typer.Option("--no-dry", help="Let the story repeat itself.")] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same story.")] = None,
    continue_: Annotated[
        Path | None, typer.Option("--continue", help="A file with the story so far; its form and model are kept.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to save to; default: a new one.")] = None,
    engine: Annotated[str, typer.Option(help="auto, llama or torch.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the text.")] = False,
) -> None:
    """Write a story; Ctrl-C keeps what is written."""
    from storyteller.generate.library import read_origin, read_story
    from storyteller.generate.requests import build_request, read_character

    origin = read_origin(continue_) if continue_ else {}
    request = build_request(
        prompt,
        form=form or origin.get("form", "story"),
        language=lang or origin.get("language"),
        words=words,
        title=title,
        characters=[read_character(value) for value in character or []],
        keywords=keyword or [],
        opening=opening,
        before=read_story(continue_) if continue_ else None,
    )
    # Heavy imports come after the checks: a mistake is told at once.
    from storyteller.generate import Storyteller, save_story

    teller = Storyteller.load(model or origin.get("model", "default"), engine)
    writing = teller.write(request, temperature=temperature, min_p=min_p, dry=not no_dry, seed=seed)
    told, broken = _stream(writing, quiet=as_json)
    settings = {"temperature": temperature, "min_p": min_p, "dry": not no_dry}
    path = save_story(told, settings, path=out, before=request.before) if told.text else None
    if broken is not None:
        raise broken
    if as_json:
        print(json.dumps(dataclasses.asdict(told) | {"file": str(path) if path else None}, ensure_ascii=False))
    else:
        _close(told, request, path)


def _stream(writing: Writing, *, quiet: bool) -> tuple[Told, BrokenPipeError | None]:
    """Print the story as it comes; what there is when Ctrl-C or a closed pipe ends it is kept."""
    broken = None
    try:
        for token in writing:
            if not quiet:
                print(token.text, end="", flush=True)
        if not quiet:
            print(flush=True)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    except BrokenPipeError as error:
        broken = error
    return writing.told(), broken


def _close(told: Told, request: Request, path: Path | None) -> None:
    """Say what was written and where it is, and what could come next."""
    from storyteller.runs.console import say

    say(f"\n{told.words} words, seed {told.seed}, {told.tokens_per_second:.0f} tokens/s ({told.finish_reason})")
    if told.doubt:
        say(f"this is hardly a story ({told.doubt}); try another --seed, or a model that was fine-tuned on stories")
    if path is not None:
        say(f"saved: {path}\n{_next_steps(told, request, path)}")


def _next_steps(told: Told, request: Request, path: Path) -> str:
    """Commands that work as they stand: the model, and the language where it does not follow from the prompt."""
    from storyteller.corpus.language import identify_language

    idea = request.about or {"en": "A clock that runs backwards", "zh": "一座倒着走的钟"}[request.language]
    other = ["--form", "dialogue" if request.form == "screenplay" else "screenplay"]
    if identify_language(idea) != request.language:
        other += ["--lang", request.language]
    if told.model != "default":
        other += ["--model", told.model]
    return (
        "next:\n"
        f"  storyteller write --continue {shlex.quote(str(path))} --words 200\n"
        f"  storyteller write {shlex.quote(idea)} {shlex.join(other)}\n"
        "  storyteller finetune --help        teach it your own stories"
    )
