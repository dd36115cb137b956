"""`storyteller evaluate MODEL... --data DIR [--suite stories]`, and its sub-commands `blind` and `judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from storyteller.cli.blind import blind
from storyteller.errors import DataError

__all__ = ["app"]


class _Evaluate(TyperGroup):
    """A group whose first word may be a model: `evaluate default` is `evaluate models default`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the name of the usual sub-command before the words, unless they begin with one."""
        return super().parse_args(ctx, args if args[:1] and args[0] in self.commands else ["models", *args])


app = typer.Typer(cls=_Evaluate, rich_markup_mode=None)


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


@app.command(
    name="models",
    epilog="People compare texts blind: storyteller evaluate blind --help. "
    "A judge model compares them: storyteller evaluate judge --help.",
)
def models(
    systems: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Models, the first is the baseline; or texts.jsonl files.")
    ],
    suite: Annotated[
        str, typer.Option(help="losses, stories (figures about what is written), likelihood, or lm-eval.")
    ] = "losses",
    data: Annotated[Path | None, typer.Option(help="A folder written by `storyteller prepare`.")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="losses: only so many stories, always the same.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=2, help="losses: only the beginning of stories.")] = None,
    context: Annotated[int, typer.Option(min=16, help="losses: tokens in the sliding window.")] = 1024,
    prompted: Annotated[bool, typer.Option("--prompted", help="losses: give form, title and length.")] = False,
    prompts: Annotated[int, typer.Option(min=1, help="stories: prompts from the split.")] = 100,
    words: Annotated[int, typer.Option(min=10, help="stories: words or 字 of each answer.")] = 150,
    task: Annotated[str, typer.Option(help="stories: continue a passage, or write from title and premise.")] = "continue",
    temperatures: Annotated[str, typer.Option(help="stories: with commas, such as 0.6,0.8,1.0.")] = "0.8",
    seeds: Annotated[str, typer.Option(help="stories: with commas, such as 1,2,3.")] = "1",
    background: Annotated[
        Path | None, typer.Option(help="stories: the corpus where copies are looked for; default: --data.")
    ] = None,
    allow: Annotated[
        str, typer.Option(help="stories: judge even if these give a system away: length, punctuation.")
    ] = "",
    lang: Annotated[str | None, typer.Option(help="Only stories in this language: en or zh.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write reports and all raw results to this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure models on held-out stories: what they predict, or what they write."""
    options: dict[str, Any] = {"data": data, "split": split, "language": lang, "out": out}
    if suite == "losses":
        from storyteller.evaluate import evaluate_models, render_report

        options |= {"limit": limit, "max_tokens": max_tokens, "context": context, "prompted": prompted}
        report = evaluate_models(systems, **options)
        print(json.dumps(report, ensure_ascii=False) if as_json else render_report(report), end="\n" if as_json else "")
    elif suite == "stories":
        from storyteller.evaluate import evaluate_stories, render_markdown

        options |= {"prompts": prompts, "words": words, "task": task, "background": background, "allow": _words(allow)}
        options |= {"temperatures": list(map(float, _words(temperatures))), "seeds": list(map(int, _words(seeds)))}
        if out is None:
            raise DataError("the stories suite keeps every text that it has written: name a folder for them with --out.")
        findings = evaluate_stories(systems, **options)
        whole = [one.to_json() for one in findings]
        print(json.dumps(whole, ensure_ascii=False) if as_json else render_markdown(findings))
    else:
        raise DataError(f"there is no suite {suite!r}; choose losses, stories, likelihood or lm-eval.")


app.command()(blind)
