"""`storyteller ensemble draft`, `relay`, `cascade` and `distil`: several models write, and the best of it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storyteller.cli.output import print_json
from storyteller.errors import GenerationError, ModelError

if TYPE_CHECKING:
    from storyteller.generate import Told
    from storyteller.tokens.request import Request

__all__ = ["cascade", "distil", "draft", "relay"]

Prompt = Annotated[str, typer.Argument(help="What the story is about.")]
Writers = Annotated[list[str], typer.Option(help="An ensemble, or several models; may be repeated.")]
Words = Annotated[int | None, typer.Option(help="The wished length in words or 字.")]
Form = Annotated[str, typer.Option(help="story, chapter, screenplay, play, dialogue, lesson or fable.")]
Lang = Annotated[str | None, typer.Option(help="en or zh; default: the language of the prompt.")]
People = Annotated[list[str] | None, typer.Option("--character", metavar="NAME:WHO", help="A person; may be repeated.")]
Keywords = Annotated[list[str] | None, typer.Option("--keyword", help="A word that should occur; may be repeated.")]
Engine = Annotated[str, typer.Option(help="auto, llama or torch; torch reads adapters of one base in one batch.")]
Out = Annotated[Path | None, typer.Option(help="The file to save to; default: a new one.")]
Coherent = Annotated[bool, typer.Option(help="Rank by the coherence scorer, too (English); takes longer.")]
Critic = Annotated[Path | None, typer.Option(help="A refinement's folder, to rank by its critic.")]
Copies = Annotated[
    Path | None, typer.Option(help="A prepared folder: drafts that copy from its train split rank lower.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def draft(
    prompt: Prompt,
    model: Writers,
    drafts: Annotated[int, typer.Option(min=1, help="Candidates to write.")] = 8,
    show: Annotated[int, typer.Option(min=1, help="Candidates to show.")] = 3,
    words: Words = None,
    form: Form = "story",
    lang: Lang = None,
    character: People = None,
    keyword: Keywords = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of the choice of the first; 0 takes the best.")] = 0.5,
    coherence: Coherent = True,
    critic: Critic = None,
    data: Copies = None,
    engine: Engine = "auto",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same drafts.")] = 0,
    json: Json = False,
) -> None:
    """Write several drafts by all members, rank them, show and save a varied few; Ctrl-C ranks those that are whole."""
    request = _request(prompt, form, lang, words, character, keyword)
    from storyteller.ensemble.drafts import FAILURES, draft_many, rank
    from storyteller.ensemble.drafts import show as choose
    from storyteller.evaluate.drafting import draft_scorers, draft_similarity
    from storyteller.generate import Storyteller
    from storyteller.runs.console import say

    scorers = draft_scorers(request.language, coherence=coherence, critic=critic, corpus=data)
    tellers = [Storyteller.load(name, engine) for name in model]
    written = draft_many(tellers, request, drafts, seed=seed)
    try:
        ranked, alike = rank(written, request, scorers), draft_similarity(request.language)
        shown = choose(ranked, show, temperature=temperature, seed=seed, similarity=alike)
    except (KeyboardInterrupt, *FAILURES) as error:  # what is written is not lost for that
        say(f"ranked by what was asked for alone ({str(error) or 'stopped'})")
        shown = choose(rank(written, request), show, temperature=temperature, seed=seed)
    # Saved before it is shown: whoever reads may go away.
    saved = [_save(one.told, {"drafts": drafts, "member": one.member, "total": float(one.total)}) for one in shown]
    if not json:
        for number, one in enumerate(shown, 1):
            typer.echo(f"--- {number} of {len(shown)}, by {one.member}, {one.total:+.2f}\n\n{one.text}\n")
    if json:
        print_json([
            {"text": one.text, "member": one.member, "scores": _told(one.scores), "total": one.total, "file": file}
            for one, (file, _) in zip(shown, saved, strict=True)
        ])  # fmt: skip
    _close(*saved)


def relay(
    prompt: Prompt,
    model: Writers,
    unit: Annotated[str, typer.Option(help="What one member writes at a time: sentence or paragraph.")] = "sentence",
    drafts: Annotated[int, typer.Option(min=1, help="Candidates for each sentence or paragraph.")] = 4,
    keep: Annotated[int, typer.Option(min=1, help="Stories that go on from there.")] = 2,
    words: Words = None,
    form: Form = "story",
    lang: Lang = None,
    character: People = None,
    keyword: Keywords = None,
    coherence: Coherent = True,
    critic: Critic = None,
    data: Copies = None,
    engine: Engine = "auto",
    out: Out = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same story.")] = 0,
    json: Json = False,
) -> None:
    """Write one story in turn, the best of several members' sentences each time; Ctrl-C keeps what is written."""
    if unit not in ("sentence", "paragraph"):
        raise ModelError(f"members take turns by sentence or paragraph, not by {unit!r}.")
    request = _request(prompt, form, lang, words, character, keyword)
    from storyteller.ensemble import relay
    from storyteller.evaluate.drafting import draft_scorers
    from storyteller.generate import Storyteller

    scorers = draft_scorers(request.language, coherence=coherence, critic=critic, corpus=data, last=True)
    scorers.pop("ending")  # every sentence ends
    relayed = relay(
        [Storyteller.load(name, engine) for name in model],
        request,
        scorers,
        unit=unit,  # type: ignore[arg-type]
        drafts=drafts,
        keep=keep,
        seed=seed,
    )
    members = [part.member for part in relayed.parts]
    saved = _save(relayed.told(seed), {"unit": unit, "members": members}, out)
    if not json:
        typer.echo(relayed.text)
        typer.echo(f"\nby {', '.join(members)}", err=True)
    if json:
        parts = [{"text": part.text, "member": part.member} for part in relayed.parts]
        print_json({"text": relayed.text, "parts": parts, "scores": _told(relayed.scores), "file": saved[0]})
    _close(saved)


def cascade(
    prompt: Prompt,
    large: Annotated[str, typer.Option(help="The larger model, which is loaded only when it is asked.")],
    small: Annotated[str, typer.Option(help="The model that writes first.")] = "default",
    threshold: Annotated[float, typer.Option(help="The score, as log odds, from which the first story will do.")] = 0.0,
    words: Words = None,
    form: Form = "story",
    lang: Lang = None,
    character: People = None,
    keyword: Keywords = None,
    critic: Critic = None,
    engine: Engine = "auto",
    out: Out = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same story.")] = 0,
    json: Json = False,
) -> None:
    """Let a small model write, and ask a larger one only where the critic, or else the coherence scorer, is unhappy."""
    request = _request(prompt, form, lang, words, character, keyword)
    from storyteller.ensemble import cascade
    from storyteller.evaluate.drafting import draft_scorers
    from storyteller.generate import Storyteller
    from storyteller.models import locate

    locate(large)  # a wrong name is told before anything is written
    scorers = draft_scorers(request.language, critic=critic)
    scorer = scorers.get("critic") or scorers.get("coherence")
    if scorer is None:
        raise ModelError(
            "nothing can judge the first story: the coherence scorer reads English with the default base. Name a "
            "refinement's folder with --critic."
        )
    done = cascade(
        Storyteller.load(small, engine), lambda: Storyteller.load(large, engine), request, scorer, threshold, seed=seed
    )
    asked = "" if done.escalated else " not"
    score = float(done.score)
    saved = _save(done.told, {"threshold": threshold, "score": score, "escalated": done.escalated}, out)
    if not json:
        typer.echo(done.told.text)
        said = f"\nby {done.told.model}, score {done.score:+.2f}; the larger model was{asked} asked"
        typer.echo(said, err=True)
    if json:
        row = {"text": done.told.text, "model": done.told.model, "escalated": done.escalated}
        print_json(row | _told({"score": score}) | {"file": saved[0]})
    _close(saved)


def distil(
    model: Annotated[str, typer.Argument(help="The ensemble, or any model, that teaches.")],
    data: Annotated[Path, typer.Option(help="A folder written by `storyteller prepare`; its train split asks.")],
    out: Annotated[Path, typer.Option(help="The file to write, .jsonl, which `storyteller prepare` reads.")],
    prompts: Annotated[int, typer.Option(min=1, help="How many requests.")] = 200,
    drafts: Annotated[int, typer.Option(min=1, help="Stories for each request, of which the best is kept.")] = 4,
    words: Annotated[int, typer.Option(min=10, help="The wished length in words or 字.")] = 150,
    rows: Annotated[int | None, typer.Option(min=1, help="Stories told at once; default: as many as pay here.")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=0.05, max=2, help="How freely it tells; default: that of `write`. 1 narrows least."),
    ] = None,
    engine: Engine = "auto",
    coherence: Coherent = True,
    critic: Critic = None,
    lang: Lang = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same examples.")] = 0,
) -> None:
    """Write what an ensemble tells best as examples, to train one adapter on; stopped, the same command goes on."""
    from storyteller.ensemble import tell_examples
    from storyteller.evaluate.drafting import draft_scorers
    from storyteller.evaluate.loss_report import choose_stories
    from storyteller.evaluate.prompts import choose_prompts
    from storyteller.generate import Storyteller
    from storyteller.models import locate
    from storyteller.runs import Run, file_sha256

    if out.exists():
        raise ModelError(f"{out} is there already; name a new file with --out.")
    stories = choose_stories(data, "train", None, lang)
    asked = [prompt.request for prompt in choose_prompts(stories, prompts, words=words, task="write")]
    languages = {request.language for request in asked}
    own = languages.pop() if len(languages) == 1 else None  # None: each story is scored in its own language
    scorers = draft_scorers(own, coherence=coherence, critic=critic, corpus=data)
    teacher = Storyteller.load(model, engine)
    weights = locate(model).sha256
    if critic is not None and (best := Run.open(critic).pointed("best")) is not None:
        weights += " " + file_sha256(best[0] / "adversary.safetensors")  # another critic chooses others
    heat = {} if temperature is None else {"temperature": temperature}
    count = tell_examples(
        teacher, asked, out, drafts=drafts, scorers=scorers, seed=seed, weights=weights, rows=rows, **heat
    )
    typer.echo(
        f"{count} examples in {out}. Train one adapter on them: storyteller prepare {out} --out data/{out.stem}; "
        f"storyteller finetune own-stories data.path=data/{out.stem}"
    )


def _request(
    prompt: str, form: str, lang: str | None, words: int | None, people: list[str] | None, keywords: list[str] | None
) -> Request:
    """What is asked for; its heavy imports come after the checks, so that a mistake is told at once."""
    from storyteller.generate.requests import build_request, read_character

    characters = [read_character(value) for value in people or []]
    return build_request(prompt, form=form, language=lang, words=words, characters=characters, keywords=keywords or [])


def _save(told: Told, settings: dict[str, Any], out: Path | None = None) -> tuple[str | None, GenerationError | None]:
    """Where a text was saved, or why it was not: what has been written is shown in any case."""
    from storyteller.generate import save_story

    try:
        return str(save_story(told, settings, path=out)), None
    except GenerationError as error:
        return None, error


def _close(*saved: tuple[str | None, GenerationError | None]) -> None:
    """Say where the texts are; raises what kept one from being saved."""
    for file, _ in saved:
        if file is not None:
            typer.echo(f"saved: {file}", err=True)
    for _, failed in saved:
        if failed is not None:
            raise failed


def _told(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores for JSON, which knows no NaN: null where a scorer could not tell."""
    return {name: value if isfinite(value) else None for name, value in scores.items()}
