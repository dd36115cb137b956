"""`storyteller ensemble`: several models made one, mixed or merged, and drafts of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storyteller.errors import ModelError

if TYPE_CHECKING:
    from storyteller.ensemble.ranking import Scorer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Members = Annotated[list[str], typer.Argument(help="Models: names, folders or runs; the leading one first.")]
Weights = Annotated[str | None, typer.Option(help="One number a model, such as 0.5,0.3,0.2; default: all equal.")]
Out = Annotated[Path, typer.Option(help="The folder to make.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Method = Annotated[str, typer.Option(help="linear, slerp, task-arithmetic, ties, dare or soup.")]
Rank = Annotated[int | None, typer.Option(min=1, help="The merged adapter's rank; default: the largest of theirs.")]
Density = Annotated[float, typer.Option(help="ties, dare: the share of entries that is kept.")]


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
    base: Annotated[str | None, typer.Option(help="Whole models: the one that they were made from.")] = None,
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
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    json: Json = False,
) -> None:
    """Merge adapters with the weights that predict held-out stories best."""
    from storyteller.ensemble.searching import search

    report = search(
        members,
        out,
        _bits_per_byte(members[0], data, limit, max_tokens),
        method,  # type: ignore[arg-type]
        trials=trials,
        scales=_numbers(scales) or [1.0],
        density=density,
        seed=seed,
        rank=rank,
    )
    best = report["search"]["best"]
    shown = ", ".join(f"{weight:.3f}" for weight in best["weights"])
    typer.echo(f"{out}: weights {shown}, scale {best['scale']:g}: {-best['score']:.4f} bits per byte on dev")
    if json:
        _print(report)


@app.command()
def draft(
    prompt: Annotated[str, typer.Argument(help="What the story is about.")],
    model: Annotated[list[str], typer.Option(help="An ensemble, or several models; may be repeated.")],
    drafts: Annotated[int, typer.Option(min=1, help="Candidates to write.")] = 8,
    show: Annotated[int, typer.Option(min=1, help="Candidates to show.")] = 3,
    words: Annotated[int | None, typer.Option(help="The wished length in words or 字.")] = None,
    form: Annotated[str, typer.Option(help="story, chapter, screenplay, play, dialogue, lesson or fable.")] = "story",
    lang: Annotated[str | None, typer.Option(help="en or zh; default: the language of the prompt.")] = None,
    temperature: Annotated[float, typer.Option(help="Of the choice of the first; 0 takes the best.")] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same drafts.")] = 0,
    json: Json = False,
) -> None:
    """Write several drafts by all members, rank them, and show a varied few."""
    from storyteller.generate.requests import build_request

    request = build_request(prompt, form=form, language=lang, words=words)
    from storyteller.ensemble.drafts import draft_many, rank
    from storyteller.ensemble.drafts import show as choose
    from storyteller.generate import Storyteller

    tellers = [Storyteller.load(name) for name in model]
    ranked = rank(draft_many(tellers, request, drafts, seed=seed), request, _scorers())
    shown = choose(ranked, show, temperature=temperature, seed=seed)
    if json:
        _print([{"text": d.text, "member": d.member, "scores": d.scores, "total": d.total} for d in shown])
        return
    for number, chosen in enumerate(shown, 1):
        typer.echo(f"--- {number} of {len(shown)}, by {chosen.member}, {chosen.total:+.2f}\n\n{chosen.text}\n")


def _bits_per_byte(first: str, data: Path, limit: int, max_tokens: int) -> Any:
    """A function of a model: minus its bits per byte on stories of the dev split, after the request for each."""
    from math import log

    from storyteller.evaluate.loss import measure_losses
    from storyteller.evaluate.loss_report import choose_stories
    from storyteller.models import locate
    from storyteller.tokens import StoryTokenizer, Template

    located = locate(first)
    tokenizer = StoryTokenizer.load(located.folder)
    template = Template.load(located.template_folder, tokenizer)
    stories = choose_stories(data, "dev", limit, None)

    def score(model: Any) -> float:
        losses = measure_losses(model, tokenizer, stories, max_tokens=max_tokens, template=template)
        return -sum(loss.nats for loss in losses) / log(2) / sum(loss.bytes for loss in losses)

    return score


def _scorers() -> dict[str, Scorer]:
    """What the evaluation knows about a text alone: whether it repeats itself, and whether it ends."""
    from storyteller.evaluate.degeneration import degeneration

    return {
        "repetition": lambda texts, request: [
            -found.rep_4 - found.loop_share for found in degeneration(texts, request.language)
        ],
        "ending": lambda texts, request: [found.finished for found in degeneration(texts, request.language)],
    }


def _numbers(text: str | None) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise ModelError(f"{text!r} are no numbers with commas between them, such as 0.5,0.3,0.2.") from None


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
