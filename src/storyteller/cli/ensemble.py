"""`storyteller ensemble`: several models made one, mixed or merged, and drafts of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from storyteller.cli.ensemble_telling import cascade, distil, draft, relay
from storyteller.cli.output import print_json
from storyteller.errors import ModelError

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
        print_json(described)
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
    seed: Annotated[int, typer.Option(min=0, help="dare: which entries are dropped.")] = 0,
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
        print_json(report)
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
    seed: Annotated[int, typer.Option(min=0, help="Of the random weights.")] = 0,
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
        print_json(report)
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
        print_json(found)
        return
    for name, weight in found["weights"].items():
        alone = found["alone"][name]
        said = "left out: its weights are damaged" if alone is None else f"{alone:.4f} bits per byte alone"
        typer.echo(f"{weight:>7.4f}  {name}  ({said})")
    typer.echo(f"mixed: {found['mixed']:.4f} bits per byte on dev, with equal weights {found['equal']:.4f}")


for _telling in (draft, relay, cascade, distil):
    app.command()(_telling)


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


def _numbers(text: str | None) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise ModelError(f"{text!r} are no numbers with commas between them, such as 0.5,0.3,0.2.") from None
