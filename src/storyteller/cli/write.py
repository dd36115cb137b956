"""`storyteller write "A lighthouse keeper finds a talking seal"`."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storyteller.errors import GenerationError

if TYPE_CHECKING:
    from storyteller.generate import Told, Writing
    from storyteller.tokens.request import Character, Request

__all__ = ["write"]


def write(
    prompt: Annotated[str | None, typer.Argument(help="What the story is about.")] = None,
    form: Annotated[str, typer.Option(help="story, chapter, screenplay, play, dialogue, lesson or fable.")] = "story",
    lang: Annotated[str | None, typer.Option(help="en or zh; default: the language of the prompt.")] = None,
    words: Annotated[int | None, typer.Option(help="The wished length in words or 字.")] = None,
    title: Annotated[str | None, typer.Option(help="The title.")] = None,
    character: Annotated[list[str] | None, typer.Option(metavar="NAME:WHO", help="A person; may be repeated.")] = None,
    model: Annotated[str, typer.Option(help="A model's name, folder, run or .gguf file.")] = "default",
    temperature: Annotated[float, typer.Option(help="Higher is bolder; 0 takes the likeliest.")] = 0.8,
    min_p: Annotated[float, typer.Option(help="Drop what is less likely than this share of the likeliest.")] = 0.05,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same story.")] = None,
    continue_: Annotated[Path | None, typer.Option("--continue", help="A file with the story so far.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to save to; default: a new one.")] = None,
    engine: Annotated[str, typer.Option(help="auto, llama or torch.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the text.")] = False,
) -> None:
    """Write a story; Ctrl-C keeps what is written."""
    request = _request(prompt, form, lang, words, title, character or [], continue_)
    # Heavy imports come after the checks: a mistake is told at once.
    from storyteller.generate import Storyteller, save_story
    from storyteller.runs.console import say

    writing = Storyteller.load(model, engine).write(request, temperature=temperature, min_p=min_p, seed=seed)
    told, broken = _stream(writing, quiet=as_json)
    settings = {"temperature": temperature, "min_p": min_p}
    path = save_story(told, settings, path=out, before=request.before) if told.text else None
    if broken is not None:
        raise broken
    if as_json:
        print(json.dumps(dataclasses.asdict(told) | {"file": str(path) if path else None}, ensure_ascii=False))
        return
    say(f"\n{told.words} words, seed {told.seed}, {told.tokens_per_second:.0f} tokens/s ({told.finish_reason})")
    if path is not None:
        say(f"saved: {path}\n{_next_steps(request, path)}")


def _request(
    prompt: str | None,
    form: str,
    lang: str | None,
    words: int | None,
    title: str | None,
    characters: list[str],
    story_so_far: Path | None,
) -> Request:
    from storyteller.generate.library import read_story
    from storyteller.generate.requests import build_request

    return build_request(
        prompt,
        form=form,
        language=lang,
        words=words,
        title=title,
        characters=[_character(value) for value in characters],
        before=read_story(story_so_far) if story_so_far else None,
    )


def _character(value: str) -> Character:
    from storyteller.tokens.request import Character

    name, _, who = value.replace("：", ":", 1).partition(":")
    if not name.strip() or (":" in value and not who.strip()):
        raise GenerationError(f"--character {value!r} is not NAME:WHO, such as 'Mara:a lighthouse keeper'.")
    return Character(name.strip(), who.strip())


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


def _next_steps(request: Request, path: Path) -> str:
    again = shlex.quote(request.about) if request.about else '"A clock that runs backwards"'
    other = "dialogue" if request.form == "screenplay" else "screenplay"
    return (
        "next:\n"
        f"  storyteller write --continue {shlex.quote(str(path))} --words 200\n"
        f"  storyteller write {again} --form {other}\n"
        "  storyteller finetune --help        teach it your own stories"
    )
