"""`storyteller ensemble`: several models made one, mixed or merged, and drafts of all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storyteller.errors import ModelError

if TYPE_CHECKING:
    from storyteller.tokens.request import Request

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Members = Annotated[list[str], typer.Argument(help="Models: names, folders or runs; the leading one first.")]
Weights = Annotated[str | None, typer.Option(help="One number a model, such as 0.5,0.3,0.2; default: all equal.")]
Out = Annotated[Path, typer.Option(help="The folder to make.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Method = Annotated[str, typer.Option(help="linear, slerp, task-arithmetic, ties, dare or soup.")]
Rank = Annotated[int | None, typer.Option(min=1, help="The merged adapter's rank; default: the largest of theirs.")]
Density = Annotated[float, typer.Option(help="ties, dare: the share of entries that is kept.")]
Base = Annotated[str | None, typer.Option(help="Whole models: the one that they were made from.")]
Prompt = Annotated[str, typer.Argument(help="What the story is about.")]
Writers = Annotated[list[str], typer.Option(help="An ensemble, or several models; may be repeated.")]
Words = Annotated[int | None, typer.Option(help="The wished length in words or 字.")]
Form = Annotated[str, typer.Option(help="story, chapter, screenplay, play, dialogue, lesson or fable.")]
Lang = Annotated[str | None, typer.Option(help="en or zh; default: the language of the prompt.")]
People = Annotated[list[str] | None, typer.Option("--character", metavar="NAME:WHO", help="A person; may be repeated.")]
Keywords = Annotated[list[str] | None, typer.Option("--keyword", help="A word that should occur; may be repeated.")]
Coherent = Annotated[bool, typer.Option(help="Rank by the coherence scorer, too (English); takes longer.")]
Critic = Annotated[Path | None, typer.Option(help="A refinement's folder, to rank by its critic.")]
Copies = Annotated[
    Path | None, typer.Option(help="A prepared folder: drafts that copy from its train split rank lower.")
]


@app.command()
def new(
    members: Members,
    out: Out,
    weights: Weights = None,
    rule: Annotated[
        str, typer.Option(help="arithmetic, geometric, or contrastive (weights such as 1.5,-0.5).")
    ] = "arithmetic",
    divergence: Annotated[float | None, typer.Option(help="Mix only where members are so many bits apart.")] = None,
    sure: Annotated[float | None, typer.Option(help="Ask only the first where it is so sure of a token.")] = None,
) -> None:
    """Make an ensemble that mixes models at each token; every command takes its folder as a model."""
    from pydantic import ValidationError

    from storyteller.ensemble.folder import new_ensemble
    from storyteller.models.ensemble_file import Gate

    try:
        gate = Gate(divergence=divergence, sure=sure)
    except ValidationError as error:
        raise ModelError(f"the gate: {error.errors()[0]['msg']}.") from None
    new_ensemble(out, members, weights=_numbers(weights), rule=rule, gate=gate)  # type: ignore[arg-type]
    typer.echo(f'{out} is ready. Write with it: storyteller write "A talking seal" --model {out}')


@app.command()
def show(folder: Annotated[str, typer.Argument(help="An ensemble's folder.")], json: Json = False) -> None:
    """Show an ensemble's members, weights and rule."""
    from storyteller.ensemble.folder import describe_ensemble

    described = describe_ensemble(folder)
    if json:
        _print(described)
        return
    members = described.pop("members")
    for key, value in described.items():
        if value is not None:
            typer.echo(f"{key}: {value}")
    for member in members:
        typer.echo(f"  {member['weight']:>6.3f}  {member['model']}  ({member['place']})")


@app.command()
def merge(
    members: Members,
    out: Out,
    method: Method = "linear",
    weights: Weights = None,
    density: Density = 0.5,
    scale: Annotated[
        float, typer.Option(help="Multiplies what the merged model changes; below 1 towards the base.")
    ] = 1.0,
    rank: Rank = None,
    base: Base = None,
    seed: Annotated[int, typer.Option(help="dare: which entries are dropped.")] = 0,
    json: Json = False,
) -> None:
    """Merge adapters of one base into one adapter, or whole models into one model."""
    from storyteller.ensemble import merge

    report = merge(
        members,
        out,
        method,  # type: ignore[arg-type]
        weights=_numbers(weights),
        density=density,
        scale=scale,
        rank=rank,
        base=base,
        seed=seed,
    )
    if json:
        _print(report)
        return
    lost = f", {report['energy_lost']:.2%} of the energy lost at rank {report['rank']}" if "rank" in report else ""
    typer.echo(f"{out}: {len(members)} models merged ({method}) in {report['seconds']:.1f} s{lost}")


@app.command()
def search(
    members: Members,
    out: Out,
    data: Annotated[Path, typer.Option(help="A folder written by `storyteller prepare`; its dev split decides.")],
    method: Method = "linear",
    trials: Annotated[int, typer.Option(min=1, help="Weights to try; soup tries what it needs.")] = 20,
    scales: Annotated[str, typer.Option(help="Scales to try with the best weights, such as 1,0.8,0.6.")] = "1",
    limit: Annotated[int, typer.Option(min=1, help="Dev stories to measure on.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=2, help="Tokens of each story.")] = 256,
    density: Density = 0.5,
    rank: Rank = None,
    base: Base = None,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    json: Json = False,
) -> None:
    """Merge adapters or whole models with the weights that predict held-out stories best."""
    from storyteller.ensemble.searching import search

    report = search(
        members,
        out,
        _bits_per_byte(members, data, limit, max_tokens),
        method,  # type: ignore[arg-type]
        trials=trials,
        scales=_numbers(scales) or [1.0],
        density=density,
        seed=seed,
        rank=rank,
        base=base,
    )
    if json:
        _print(report)
        return
    best = report["search"]["best"]
    shown = ", ".join(f"{weight:.3f}" for weight in best["weights"])
    cut = f" ({-best['score']:.4f} before the cut to rank {report['rank']})" if "rank" in report else ""
    typer.echo(f"{out}: weights {shown}, scale {best['scale']:g}: {-best['written']:.4f} bits per byte on dev{cut}")


@app.command()
def weigh(
    folder: Annotated[Path, typer.Argument(help="An ensemble's folder, whose weights are replaced.")],
    data: Annotated[Path, typer.Option(help="A folder written by `storyteller prepare`; its dev split decides.")],
    limit: Annotated[int, typer.Option(min=1, help="Dev stories to measure on.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=2, help="Tokens of each story.")] = 256,
    json: Json = False,
) -> None:
    """Give an arithmetic mixture the weights under which it predicts held-out stories best."""
    from storyteller.ensemble.folder import describe_ensemble, weigh_ensemble
    from storyteller.evaluate.weighing import weigh_mixture

    if describe_ensemble(folder)["rule"] != "arithmetic":
        raise ModelError("only the weights of an arithmetic mixture are found so; set others by hand in ensemble.yaml.")
    found = weigh_mixture(folder, data, limit=limit, max_tokens=max_tokens)
    weigh_ensemble(folder, list(found["weights"].values()))
    if json:
        _print(found)
        return
    for name, weight in found["weights"].items():
        alone = found["alone"][name]
        said = "left out: its weights are damaged" if alone is None else f"{alone:.4f} bits per byte alone"
        typer.echo(f"{weight:>7.4f}  {name}  ({said})")
    typer.echo(f"mixed: {found['mixed']:.4f} bits per byte on dev, with equal weights {found['equal']:.4f}")


@app.command()
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
    temperature: Annotated[float, typer.Option(help="Of the choice of the first; 0 takes the best.")] = 0.5,
    coherence: Coherent = True,
    critic: Critic = None,
    data: Copies = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same drafts.")] = 0,
    json: Json = False,
) -> None:
    """Write several drafts by all members, rank them, and show a varied few; Ctrl-C ranks those that are whole."""
    request = _request(prompt, form, lang, words, character, keyword)
    from storyteller.ensemble.drafts import draft_many, rank
    from storyteller.ensemble.drafts import show as choose
    from storyteller.evaluate.drafting import draft_scorers, draft_similarity
    from storyteller.generate import Storyteller

    scorers = draft_scorers(request.language, coherence=coherence, critic=critic, corpus=data)
    tellers = [Storyteller.load(name) for name in model]
    ranked = rank(draft_many(tellers, request, drafts, seed=seed), request, scorers)
    alike = draft_similarity(request.language)
    shown = choose(ranked, show, temperature=temperature, seed=seed, similarity=alike)
    if json:
        _print([{"text": d.text, "member": d.member, "scores": _told(d.scores), "total": d.total} for d in shown])
        return
    for number, chosen in enumerate(shown, 1):
        typer.echo(f"--- {number} of {len(shown)}, by {chosen.member}, {chosen.total:+.2f}\n\n{chosen.text}\n")


@app.command()
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
    seed: Annotated[int, typer.Option(help="The same seed gives the same story.")] = 0,
    json: Json = False,
) -> None:
    """Write one story in turn, the best of several members' sentences each time; Ctrl-C keeps what is written."""
    if unit not in ("sentence", "paragraph"):
        raise ModelError(f"members take turns by sentence or paragraph, not by {unit!r}.")
    request = _request(prompt, form, lang, words, character, keyword)
    from storyteller.ensemble import relay
    from storyteller.evaluate.drafting import draft_scorers
    from storyteller.generate import Storyteller

    scorers = draft_scorers(request.language, coherence=coherence, critic=critic, corpus=data)
    scorers.pop("ending")  # every sentence ends
    told = relay(
        [Storyteller.load(name) for name in model],
        request,
        scorers,
        unit=unit,  # type: ignore[arg-type]
        drafts=drafts,
        keep=keep,
        seed=seed,
    )
    if json:
        parts = [{"text": part.text, "member": part.member} for part in told.parts]
        _print({"text": told.text, "parts": parts, "scores": _told(told.scores)})
        return
    typer.echo(told.text)
    typer.echo("\nby " + ", ".join(part.member for part in told.parts), err=True)


@app.command()
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
    seed: Annotated[int, typer.Option(help="The same seed gives the same story.")] = 0,
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
    done = cascade(Storyteller.load(small), lambda: Storyteller.load(large), request, scorer, threshold, seed=seed)
    if json:
        told = {"text": done.told.text, "model": done.told.model, "escalated": done.escalated}
        _print(told | {"score": _told({"score": done.score})["score"]})
        return
    typer.echo(done.told.text)
    typer.echo(
        f"\nby {done.told.model}, score {done.score:+.2f}; the larger model was{'' if done.escalated else ' not'} asked",
        err=True,
    )


@app.command()
def distil(
    model: Annotated[str, typer.Argument(help="The ensemble, or any model, that teaches.")],
    data: Annotated[Path, typer.Option(help="A folder written by `storyteller prepare`; its train split asks.")],
    out: Annotated[Path, typer.Option(help="The file to write, .jsonl, which `storyteller prepare` reads.")],
    prompts: Annotated[int, typer.Option(min=1, help="How many requests.")] = 200,
    drafts: Annotated[int, typer.Option(min=1, help="Stories for each request, of which the best is kept.")] = 4,
    words: Annotated[int, typer.Option(min=10, help="The wished length in words or 字.")] = 150,
    rows: Annotated[int | None, typer.Option(min=1, help="Stories told at once; default: as many as pay here.")] = None,
    engine: Annotated[str, typer.Option(help="auto, llama or torch.")] = "auto",
    coherence: Coherent = True,
    critic: Critic = None,
    lang: Lang = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same examples.")] = 0,
) -> None:
    """Write what an ensemble tells best as examples, to train one adapter on; stopped, the same command goes on."""
    from storyteller.ensemble import tell_examples
    from storyteller.evaluate.drafting import draft_scorers
    from storyteller.evaluate.loss_report import choose_stories
    from storyteller.evaluate.prompts import choose_prompts
    from storyteller.generate import Storyteller

    if out.exists():
        raise ModelError(f"{out} is there already; name a new file with --out.")
    stories = choose_stories(data, "train", None, lang)
    asked = [prompt.request for prompt in choose_prompts(stories, prompts, words=words, task="write")]
    languages = {request.language for request in asked}
    own = languages.pop() if len(languages) == 1 else None  # None: each story is scored in its own language
    scorers = draft_scorers(own, coherence=coherence, critic=critic, corpus=data)
    teacher = Storyteller.load(model, engine)
    count = tell_examples(teacher, asked, out, drafts=drafts, scorers=scorers, seed=seed, rows=rows)
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


def _bits_per_byte(members: list[str], data: Path, limit: int, max_tokens: int) -> Any:
    """A function of a model: minus its bits per byte on stories of the dev split, after the request for each.

    The members share tokenizer and template (a merge checks it), and that with the fewest positions bounds the window.
    """
    from math import log

    from storyteller.evaluate.loss import measure_losses
    from storyteller.evaluate.loss_report import choose_stories, widest_window
    from storyteller.models import locate
    from storyteller.tokens import StoryTokenizer, Template

    located = locate(members[0])
    context = widest_window([locate(member) for member in members])
    tokenizer = StoryTokenizer.load(located.folder)
    template = Template.load(located.template_folder, tokenizer)
    stories = choose_stories(data, "dev", limit, None)

    def score(model: Any) -> float:
        losses = measure_losses(model, tokenizer, stories, context=context, max_tokens=max_tokens, template=template)
        return -sum(loss.nats for loss in losses) / log(2) / sum(loss.bytes for loss in losses)

    return score


def _told(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores for JSON, which knows no NaN: null where a scorer could not tell."""
    return {name: value if isfinite(value) else None for name, value in scores.items()}


def _numbers(text: str | None) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise ModelError(f"{text!r} are no numbers with commas between them, such as 0.5,0.3,0.2.") from None


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
