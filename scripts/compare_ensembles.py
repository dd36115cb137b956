"""Whether an ensemble writes better than its best member, at equal cost.

    python scripts/compare_ensembles.py --members A B C --others MERGED MIX --data data/a data/b data/c --out FOLDER

Prompts come from the test split of every `--data` folder, as many from each; a folder's name is its genre. Every member
answers each prompt `--drafts` times and every other system `--seeds` times, at `--temperature`; a text costs a member's
price but in a mixture, where it costs that of all members. From the same texts come, each of `--drafts` candidates a prompt:

`best of n by A`: the best of one member's by `draft_scorers` and the rules; `best of n by all`: of as many, in equal parts
of all members. `shown by A`, `shown by all`: the three of them that a writer would be shown. So they cost the same.

With `--second T` all are told once more at that temperature, so that judges are compared at equal diversity, too. The lab's
figures stand in FOLDER/report.md, the tables of this comparison in FOLDER/ensembles.json and on the screen. Wins of a
system are counted with one judge of words for all texts, that was trained on other works; the critic that ranks and the judges
share nothing but the texts.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.corpus import read_split
from storyteller.ensemble.drafts import Draft, rank, show
from storyteller.ensemble.ranking import Scorer
from storyteller.evaluate.collect import collect
from storyteller.evaluate.drafting import draft_scorers, draft_similarity
from storyteller.evaluate.findings import Findings
from storyteller.evaluate.judges import judge
from storyteller.evaluate.matching import equalise
from storyteller.evaluate.prompts import Prompt, choose_prompts
from storyteller.evaluate.report import write_reports
from storyteller.evaluate.statistics import Bootstrap, mean
from storyteller.evaluate.suite import measure_stories
from storyteller.evaluate.texts import HUMAN, Text
from storyteller.generate import Told
from storyteller.generate.doubt import doubt
from storyteller.runs import write_json
from storyteller.tokens import Request

SHOWN = 3
METRICS = ("auc_word", "auc_char", "auc_embedding", "distinct_2", "self_bleu", "self_bleu_within", "vendi_within",
           "independent_loss", "rep_4")  # fmt: skip


def ask(folders: Sequence[Path], count: int, words: int) -> list[Prompt]:
    """`count` prompts from each folder's test split, from every work in turn; the id begins with the genre."""
    found = []
    for folder in folders:
        works: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in choose_prompts(list(read_split(folder, "test")), 10 * count, words=words):
            works[prompt.work].append(replace(prompt, id=f"{folder.name}/{prompt.id}"))
        rounds = itertools.chain.from_iterable(itertools.zip_longest(*works.values()))
        found += list(itertools.islice(filter(None, rounds), count))
    return found


def remembering(scorer: Scorer) -> Scorer:
    """The scorer, which reads each text once: the same texts stand in several pools."""
    known: dict[str, float] = {}

    def score(texts: Sequence[str], request: Request) -> list[float]:
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, scorer(new, request), strict=True))
        return [known[text] for text in texts]

    return score


def pools(texts: Sequence[Text], members: Sequence[str], drafts: int) -> dict[str, list[Text]]:
    """`drafts` candidates a prompt: of each member, and in equal parts of all."""
    each = drafts // len(members)
    found = {name: [text for text in texts if text.system == name] for name in members}
    return found | {"all": [text for text in texts if text.system in members and (text.seed or 0) <= each]}


def reranked(pool: str, texts: Sequence[Text], drafts: int, scorers: Mapping[str, Scorer]) -> list[Text]:
    """The best candidate for each prompt, and the few that are shown, as systems of their own."""
    alike, found = draft_similarity("en"), []
    by_prompt: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        by_prompt[text.prompt_id].append(text)
    for number, candidates in enumerate(by_prompt.values()):
        request = candidates[0].request
        assert request is not None
        ranked = rank([Draft(told(text), text.system) for text in candidates], request, scorers)
        chosen = show(ranked, SHOWN, temperature=0.5, seed=number, similarity=alike)
        best = replace(candidates[0], system=f"best of {drafts} by {pool}", seed=1, text=ranked[0].text)
        found.append(best)
        for place, draft in enumerate(chosen, 1):
            found.append(replace(candidates[0], system=f"shown by {pool}", seed=place, text=draft.text))
    return found


def told(text: Text) -> Told:
    form = text.request.form if text.request else "story"
    return Told(text.text, 0, "stop", text.system, "", text.seed or 0, "", form, text.language, None, 0.0, 0, 0.0,
                doubt(text.text, form))  # fmt: skip


def wins(texts: Sequence[Text], systems: Sequence[str]) -> dict[str, Any]:
    """By genre, how often each system's text is the likeliest a person's of all systems' first texts to a prompt.

    One judge of words sees all texts, so its opinions of several systems are on one scale; see `cross_fit`.
    """
    human = {text.prompt_id: text for text in texts if text.system == HUMAN}
    rows = [text for text in texts if text.system in systems and text.seed == 1]
    matched = equalise([human[row.prompt_id].text for row in rows], [row.text for row in rows], "en", tolerance=0.1)
    rows = [rows[place] for place in matched.kept]
    verdict = judge(
        matched.human, matched.system, prompts=[row.prompt_id for row in rows], works=[row.work for row in rows],
        language="en", punctuation=False, allow=("length", "punctuation", "duplicates"),
    )  # fmt: skip
    realism: dict[str, dict[str, float]] = defaultdict(dict)
    works = {row.prompt_id: row.work for row in rows}
    for row, score in zip(rows, verdict.system, strict=True):
        realism[row.prompt_id][row.system] = math.log(score / (1 - score))
    whole = {prompt: scores for prompt, scores in realism.items() if len(scores) == len(systems)}
    genres: dict[str, Counter[str]] = defaultdict(Counter)
    for prompt, scores in whole.items():
        genres[prompt.partition("/")[0]][max(scores, key=lambda name: scores[name])] += 1
    matrix = {}
    bootstrap = Bootstrap(works[prompt] for prompt in whole)
    for a, b in itertools.permutations(systems, 2):
        beaten = [float(scores[a] > scores[b]) for scores in whole.values()]
        matrix[f"{a} > {b}"] = str(mean(bootstrap, np.array(beaten), [works[prompt] for prompt in whole]).interval())
    shares = np.array(list(sum(genres.values(), Counter()).values()), float) / max(1, len(whole))
    return {
        "prompts": len(whole),
        "best_by_genre": {genre: dict(counts.most_common()) for genre, counts in sorted(genres.items())},
        "entropy_bits": round(float(-(shares * np.log2(shares)).sum()), 3),
        "at_most_bits": round(math.log2(len(systems)), 3),
        "pairs": matrix,
    }


def coherence(texts: Sequence[Text], scorer: Scorer) -> dict[str, str]:
    """The scorer's log odds of every system's first texts, with intervals over works."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for text in texts:
        if text.seed in (None, 1):
            (value,) = scorer([text.text], text.request or Request())
            found[text.system].append((text.work, value))
    bootstrap = Bootstrap(work for rows in found.values() for work, _ in rows)
    told = {}
    for system, rows in found.items():
        known = [(work, value) for work, value in rows if math.isfinite(value)]
        told[system] = str(mean(bootstrap, [v for _, v in known], [w for w, _ in known]).interval()) if known else ""
    return told


def table(found: Findings, coherent: Mapping[str, str]) -> str:
    """The figures that decide, one line a system."""
    figures = {(figure.metric, figure.system): figure.interval for figure in found.figures}
    lines = [f"| system | {' | '.join(METRICS)} | coherence |", "|---|" + "---:|" * (len(METRICS) + 1)]
    for system in found.systems:
        cells = [str(figures.get((metric, system.label)) or "") for metric in METRICS]
        lines.append(f"| {system.label} | {' | '.join(cells)} | {coherent.get(system.name, '')} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", nargs="+", required=True)
    parser.add_argument("--others", nargs="*", default=[])
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=20, help="from each folder")
    parser.add_argument("--words", type=int, default=80)
    parser.add_argument("--drafts", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--second", type=float)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    questions = ask(options.data, options.prompts, options.words)
    systems = [*options.members, *options.others]
    first: dict[str, Any] = {"temperatures": (options.temperature,)}
    several = range(1, options.seeds + 1)
    texts = collect(systems, questions, options.out, seeds=several, **first)
    more = collect(options.members, questions, options.out, seeds=range(1, options.drafts + 1), **first)
    if options.second is not None:
        texts += collect(systems, questions, options.out, temperatures=(options.second,))
    texts = [text for number, text in enumerate(texts) if text.system != HUMAN or number < len(questions)]
    scorers = {name: remembering(scorer) for name, scorer in draft_scorers("en").items()}
    found = pools(more, options.members, options.drafts)
    ranked = [text for pool, own in found.items() for text in reranked(pool, own, options.drafts, scorers)]
    background = [story for folder in options.data for story in itertools.islice(read_split(folder, "train"), 150)]
    findings = measure_stories(
        [*texts, *ranked], background=background, allow=("length", "punctuation"), leave_out=("coherence",),
        cache=options.out / "embeddings.safetensors", settings={"members": options.members, "others": options.others},
    )  # fmt: skip
    write_reports(findings, options.out)
    everything = [text for text in [*texts, *ranked] if text.temperature in (None, options.temperature)]
    single = wins(everything, options.members)
    rivals = [f"best of {options.drafts} by {name}" for name in [*options.members, "all"]]
    coherent = coherence(everything, scorers["coherence"]) if "coherence" in scorers else {}
    report = {"members": single, "rivals": wins(everything, [*systems, *rivals])}
    write_json(options.out / "ensembles.json", report | {"coherence": coherent})
    print(table(findings[0], coherent))
    for name, values in report.items():
        print(f"\n{name}: {values['prompts']} prompts, entropy of the best {values['entropy_bits']} of "
              f"{values['at_most_bits']} bits\n{values['best_by_genre']}")  # fmt: skip


if __name__ == "__main__":
    main()
