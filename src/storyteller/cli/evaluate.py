"""`storyteller evaluate MODEL... --data DIR [--suite stories]`, and its sub-commands `blind` and `judge`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from storyteller.cli.blind import blind
from storyteller.cli.judge import judge
from storyteller.errors import DataError, ModelError

__all__ = ["app"]


class _Evaluate(TyperGroup):
    """A group whose first word may be a model: `evaluate default` is `evaluate models default`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the name of the usual sub-command before the words, unless they begin with one."""
        return super().parse_args(ctx, args if args[:1] and args[0] in self.commands else ["models", *args])


app = typer.Typer(cls=_Evaluate, rich_markup_mode=None)


SUITES = ("losses", "stories", "likelihood", "masked", "lm-eval")


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
        str,
        typer.Option(help="losses; stories: what is written; likelihood: what is known of stories; masked; lm-eval."),
    ] = "losses",
    data: Annotated[Path | None, typer.Option(help="A folder written by `storyteller prepare`.")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many stories, always the same ones.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=2, help="losses: only the beginning of stories.")] = None,
    context: Annotated[
        int | None, typer.Option(min=16, help="losses: tokens in the sliding window; default: 1024, or what is read.")
    ] = None,
    prompted: Annotated[bool, typer.Option("--prompted", help="losses: give form, title and length.")] = False,
    prompts: Annotated[int, typer.Option(min=1, help="stories: prompts from the split.")] = 100,
    words: Annotated[int, typer.Option(min=10, help="stories: words or 字 of each answer.")] = 150,
    task: Annotated[
        str, typer.Option(help="stories: continue a passage, or write from title and premise.")
    ] = "continue",
    temperatures: Annotated[str, typer.Option(help="stories: with commas, such as 0.6,0.8,1.0.")] = "0.8",
    seeds: Annotated[str, typer.Option(help="stories: with commas, such as 1,2,3.")] = "1",
    background: Annotated[
        Path | None, typer.Option(help="stories: the corpus where copies are looked for; default: --data.")
    ] = None,
    allow: Annotated[
        str, typer.Option(help="stories: judge even where these give a system away: length, punctuation.")
    ] = "",
    report_lang: Annotated[str, typer.Option(help="stories: the report's own language, en or zh.")] = "en",
    choices: Annotated[
        Path | None, typer.Option(help="likelihood: contexts with two endings or more, such as the Story Cloze test.")
    ] = None,
    tasks: Annotated[str, typer.Option(help="lm-eval: its tasks, with commas.")] = "",
    task_folder: Annotated[Path | None, typer.Option(help="lm-eval: a folder of your own task files.")] = None,
    lang: Annotated[str | None, typer.Option(help="Only stories in this language: en or zh.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write reports and all raw results to this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure models on held-out stories: what they predict, what they write, what they know."""
    if suite not in SUITES:
        raise DataError(f"there is no suite {suite!r}; choose one of {', '.join(SUITES)}.")
    if data is None and suite in ("losses", "masked"):
        raise DataError(f"the suite {suite} reads held-out stories: give a prepared folder with --data DIR.")
    if suite in ("likelihood", "lm-eval"):
        _refuse_ensembles(systems, suite)
    options: dict[str, Any] = {"data": data, "split": split, "language": lang, "out": out}
    report: Any
    if suite == "losses":
        from storyteller.evaluate import evaluate_models, render_report

        options |= {"limit": limit, "max_tokens": max_tokens, "context": context, "prompted": prompted}
        report = evaluate_models(systems, **options)
        shown = render_report(report)
    elif suite == "stories":
        from storyteller.evaluate import evaluate_stories, render_markdown

        options |= {"prompts": prompts, "words": words, "task": task, "background": background, "allow": _listed(allow)}
        options |= {"temperatures": _numbers(temperatures, float), "seeds": _numbers(seeds, int)}
        options["report_language"] = report_lang
        findings = evaluate_stories(systems, **options)
        report, shown = [one.to_json() for one in findings], render_markdown(findings, options["report_language"])
    elif suite == "likelihood":
        report, shown = _likelihood(systems, choices, limit, **options)
    elif suite == "masked":
        from storyteller.evaluate.masked import evaluate_masked, render_masked

        report = evaluate_masked(systems, limit=limit, max_tokens=max_tokens, **options)
        shown = render_masked(report)
    else:
        from storyteller.evaluate.harness import evaluate_tasks, render_tasks

        report = evaluate_tasks(systems, _listed(tasks), task_folder=task_folder, limit=limit, out=out)
        shown = render_tasks(report)
    print(json.dumps(report, ensure_ascii=False) if as_json else shown.rstrip("\n"))


def _refuse_ensembles(systems: list[str], suite: str) -> None:
    """Raise `ModelError` for an ensemble where one set of weights is read, before any other model is."""
    from storyteller.models.ensemble_file import ENSEMBLE_FILE

    for name in systems:
        if (Path(name).expanduser() / ENSEMBLE_FILE).is_file():
            raise ModelError(
                f"{name} is an ensemble, and the suite {suite} reads one set of weights. Measure it with --suite losses or "
                "--suite stories, or make one model of its members: storyteller ensemble merge"
            )


def _likelihood(
    systems: list[str], choices: Path | None, limit: int | None, data: Path | None, split: str, language: str | None,
    out: Path | None,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The likelihood suite on the stories of a split, on a file of choices, or on both."""
    from storyteller.evaluate.bootstrap import work_of
    from storyteller.evaluate.likelihood_report import evaluate_likelihood, render_likelihood, stories_of_one_language
    from storyteller.runs import write_json

    stories = stories_of_one_language(data, split, limit, language) if data else []
    texts, works = [story.text for story in stories], [work_of(story) for story in stories]
    asked = stories[0].language if stories else "en"
    report = evaluate_likelihood(systems, texts, works=works, choices=choices, language=asked, limit=limit)
    if out is not None:
        write_json(out / "likelihood.json", report)
    return report, render_likelihood(report)


def _listed(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _numbers(value: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(word) for word in _listed(value)]
    except ValueError:
        raise DataError(f"{value!r} is not a list of numbers with commas, such as 0.6,0.8.") from None


app.command()(blind)
app.command()(judge)
