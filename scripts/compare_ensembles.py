"""Whether an ensemble writes better than its best member, at equal cost, by texts that `tell_ensembles.py` wrote.

    python scripts/compare_ensembles.py TEXTS... --members A B C --mixtures MIX --data data/a data/b --out FOLDER

TEXTS are folders of `tell_ensembles.py tell`, `--data` the folders that it took. From the members' texts come, with
N of `--drafts` candidates a prompt:

`best of N by A`: the best of one member's by coherence, ending, repetition and the rules; `best of N by all`: of as many, in
equal parts of all members. `shown by A`, `shown by all`: the three of the most candidates that a writer would be shown, unlike
each other by their words.

FOLDER/ensembles.md has one line a system, with its cost: tokens that go through a member's weights for one prompt, those of
the request, and those that the scorer reads, included; a mixture (`--mixtures NAME`, or NAME=2 for one of two models) costs as
many times more as it has members. Below stand the comparisons at equal cost, planned here: a model of one member's cost against
the best single member, a mixture of K and the best of K by all against the best of K by the best member, and so on. The best
member is the one whose texts the judge of words tells from people's least, which favours what an ensemble has to beat.
Intervals are paired, over works; p values are Holm's over the table. Where systems were told at two temperatures, judges are
compared at equal diversity, too.

Wins of a system, as one matrix a genre, are counted with one judge of words for all texts, trained on other works; the scorer
that ranks and the judges share nothing but the texts.
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
from tell_ensembles import gather, hash_of, score

from storyteller.corpus import read_split
from storyteller.ensemble.drafts import Draft, rank, show
from storyteller.ensemble.ranking import Scorer
from storyteller.errors import DataError
from storyteller.evaluate.drafting import draft_scorers
from storyteller.evaluate.frontier import Point, matched_difference
from storyteller.evaluate.judges import Override, judge
from storyteller.evaluate.matching import equalise
from storyteller.evaluate.statistics import Bootstrap, Resampled, holm, mean
from storyteller.evaluate.suite.bench import Bench, Value, lay_out
from storyteller.evaluate.suite.degeneration import measure_degeneration
from storyteller.evaluate.suite.diversity import measure_diversity
from storyteller.evaluate.suite.independent import measure_independent
from storyteller.evaluate.suite.meanings import Meanings
from storyteller.evaluate.suite.realism import measure_judges
from storyteller.evaluate.texts import HUMAN, Text
from storyteller.generate import Told
from storyteller.generate.doubt import doubt
from storyteller.models import DEFAULT_BASE, locate
from storyteller.runs import read_json, write_atomic, write_json
from storyteller.runs.console import say
from storyteller.tokens import Request, StoryTokenizer, Template

SHOWN = 3
METRICS = ("auc_word", "auc_char", "auc_embedding", "distinct_2", "self_bleu", "self_bleu_within", "vendi_within",
           "independent_loss", "rep_4")  # fmt: skip
ALLOWED: tuple[Override, ...] = ("length", "punctuation", "duplicates")
COMPARED = ("auc_word", "auc_char", "auc_embedding", "distinct_2", "vendi_within", "self_bleu_within", "coherence")

Values = dict[tuple[str, str], Value]


def complete(texts: Sequence[Text]) -> list[Text]:
    """The texts to prompts that every system answered with all of its seeds; systems that lack a fifth are left out."""
    groups: dict[tuple[str, float | None], dict[str, list[Text]]] = defaultdict(lambda: defaultdict(list))
    for text in texts:
        if text.text.strip():
            groups[text.system, text.temperature][text.prompt_id].append(text)
    prompts = max((set(group) for group in groups.values()), key=len)
    kept, common = {}, set(prompts)
    for key, group in groups.items():
        seeds = max(map(len, group.values()))
        whole = {prompt for prompt, own in group.items() if len(own) == seeds}
        if 5 * len(whole) < 4 * len(prompts):
            say(f"{key[0]} at {key[1]}: {len(whole)} of {len(prompts)} prompts are answered in full; it is left out")
            continue
        kept[key] = group
        common &= whole
    return [text for group in kept.values() for prompt, own in group.items() if prompt in common for text in own]


def pools(texts: Sequence[Text], members: Sequence[str], drafts: int) -> dict[str, list[Text]]:
    """`drafts` candidates a prompt: of each member, and in equal parts of all."""
    each = drafts // len(members)
    found = {name: [text for text in texts if text.system == name and (text.seed or 0) <= drafts] for name in members}
    return found | {"all": [text for text in texts if text.system in members and (text.seed or 0) <= each]}


def reranked(
    pool: str, texts: Sequence[Text], drafts: int, scorers: Mapping[str, Scorer], *, shown: bool
) -> list[Text]:
    """The best candidate for each prompt, and the few that are shown, as systems of their own."""
    found = []
    by_prompt: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        by_prompt[text.prompt_id].append(text)
    for number, candidates in enumerate(by_prompt.values()):
        request = candidates[0].request
        assert request is not None
        ranked = rank([Draft(told(text), text.system) for text in candidates], request, scorers)
        found.append(replace(candidates[0], system=f"best of {drafts} by {pool}", seed=1, text=ranked[0].text))
        chosen = show(ranked, SHOWN, temperature=0.5, seed=number) if shown else []
        # A writer is not shown what is hardly a story; variety is measured on as many texts of each prompt.
        chosen += [draft for draft in ranked if draft not in chosen][: SHOWN - len(chosen)] if shown else []
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
        language="en", punctuation=False, allow=ALLOWED,
    )  # fmt: skip
    realism: dict[str, dict[str, float]] = defaultdict(dict)
    works = {row.prompt_id: row.work for row in rows}
    for row, chance in zip(rows, verdict.system, strict=True):
        realism[row.prompt_id][row.system] = math.log(chance / (1 - chance))
    whole = {prompt: scores for prompt, scores in realism.items() if len(scores) == len(systems)}
    genres: dict[str, Counter[str]] = defaultdict(Counter)
    for prompt, scores in whole.items():
        genres[prompt.partition("/")[0]][max(scores, key=lambda name: scores[name])] += 1
    matrix = {}
    bootstrap = Bootstrap(works[prompt] for prompt in whole)
    for a, b in itertools.permutations(systems, 2):
        beaten = [float(scores[a] > scores[b]) for scores in whole.values()]
        matrix[f"{a} > {b}"] = str(mean(bootstrap, np.array(beaten), [works[prompt] for prompt in whole]).interval())
    by_genre: dict[str, dict[str, dict[str, float]]] = {}
    for genre in sorted(genres):
        own = [scores for prompt, scores in whole.items() if prompt.partition("/")[0] == genre]
        by_genre[genre] = {
            a: {b: float(np.mean([scores[a] > scores[b] for scores in own])) for b in systems if b != a}
            for a in systems
        }
    shares = np.array(list(sum(genres.values(), Counter()).values()), float) / max(1, len(whole))
    return {
        "prompts": len(whole),
        "best_by_genre": {genre: dict(counts.most_common()) for genre, counts in sorted(genres.items())},
        "entropy_bits": round(float(-(shares * np.log2(shares)).sum()), 3),
        "at_most_bits": round(math.log2(len(systems)), 3),
        "pairs": matrix,
        "pairs_by_genre": by_genre,
    }


def win_matrix(won: Mapping[str, Mapping[str, float]], title: str) -> list[str]:
    """A table of the share of prompts, in hundredths, to which the row's text is likelier a person's than the column's."""
    names = list(won)
    lines = [f"| {title} | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for a in names:
        lines.append(f"| {a} | " + " | ".join("" if a == b else f"{100 * won[a][b]:.0f}" for b in names) + " |")
    return lines


class Unread:
    """In place of `Meanings` for figures that need no embeddings, which take most of the time."""

    name = ""

    def stories(self, *groups: Sequence[str]) -> list[Any]:
        return [np.ones((len(group), 1), np.float32) for group in groups]

    def judged(self, *groups: Sequence[str], punctuation: bool) -> list[Any]:
        raise DataError("nothing was embedded")


def measure(bench: Bench, background: Sequence[Any], coherent: Mapping[str, float | None], cache: Path) -> Values:
    """Every figure of every system, from parts of the lab's suite, and the coherence of its texts."""
    meanings = Meanings(bench.language, cache)
    parts = (
        measure_judges(bench, meanings, ALLOWED),
        measure_diversity(bench, meanings),
        measure_degeneration(bench, None),
        measure_independent(bench, background),
    )
    values = {key: value for part in parts for key, value in part.values.items()}
    for label in bench.labels:
        logits = [coherent.get(hash_of(text)) for text in bench.texts(label)]
        try:
            values["coherence", label] = bench.mean(label, [math.nan if one is None else one for one in logits])
        except DataError as why:
            values["coherence", label] = str(why)
    return values


def frontier(texts: Sequence[Text], compared: int) -> Values:
    """The plane of quality and diversity, of one text a prompt at every temperature."""
    bench = lay_out([text for text in texts if text.seed in (None, 1)], "en", compared=compared)
    unread: Any = Unread()
    parts = (measure_judges(bench, unread, ALLOWED), measure_diversity(bench, unread))
    return {key: value for part in parts for key, value in part.values.items() if key[0] in ("auc_word", "distinct_2")}


def costs(
    texts: Sequence[Text], members: Sequence[str], mixtures: Mapping[str, int], drafts: Sequence[int]
) -> dict[str, float]:
    """Tokens that go through a member's weights for one prompt, by system, as multiples of a single member's."""
    located = locate(DEFAULT_BASE)
    template = Template.load(located.template_folder, StoryTokenizer.load(located.folder))
    asked: dict[Request, int] = {}
    read: dict[str, list[float]] = defaultdict(list)
    drawn: list[int] = []
    for text in texts:
        if text.request is not None and text.tokens is not None:
            if text.request not in asked:
                asked[text.request] = len(template.prompt(text.request))
            read[text.system].append(mixtures.get(text.system, 1) * (asked[text.request] + text.tokens))
            if text.system in members:
                drawn.append(text.tokens)
    one = float(np.mean([value for name in members for value in read[name]]))
    found = {name: float(np.mean(values)) / one for name, values in read.items()}
    for pool in (*members, "all"):
        for count in drafts:
            found[f"best of {count} by {pool}"] = count * (1 + float(np.mean(drawn)) / one)
        found[f"shown by {pool}"] = max(drafts) * (1 + float(np.mean(drawn)) / one)
    return found


def plan(
    members: Sequence[str], single: Sequence[str], mixtures: Mapping[str, int], drafts: Sequence[int], best: str
) -> list[tuple[str, str]]:
    """(baseline, ensemble) of about equal cost; mixtures stand beside one member's single text, too."""
    pairs = [(best, name) for name in [*members, *single] if name != best]
    pairs += [(best, name) for name in mixtures]
    pairs += [(f"best of {few} by {best}", name) for name, few in mixtures.items() if few in drafts]
    pairs += [(f"best of {count} by {best}", f"best of {count} by all") for count in drafts]
    return [*pairs, (f"shown by {best}", "shown by all")]


def compare(values: Values, pairs: Sequence[tuple[str, str]], at: str) -> list[str]:
    """A table of paired differences, ensemble less baseline, Holm's p over all of it; `at` ends the labels."""
    found = {}
    for (a, b), metric in itertools.product(pairs, COMPARED):
        first, second = values.get((metric, a + at)), values.get((metric, b + at))
        if isinstance(first, Resampled) and isinstance(second, Resampled):
            found[a, b, metric] = second - first
    p_values = holm({"\0".join(key): difference.p_value() for key, difference in found.items()})
    lines = [f"| ensemble less baseline | {' | '.join(COMPARED)} |", "|---|" + "---|" * len(COMPARED)]
    for a, b in pairs:
        cells = [
            f"{found[a, b, metric].interval()}, p {p_values[chr(0).join((a, b, metric))]:.3f}"
            if (a, b, metric) in found
            else ""
            for metric in COMPARED
        ]
        lines.append(f"| {b} less {a} | {' | '.join(cells)} |")
    return lines


def at_equal_diversity(values: Values, pairs: Sequence[tuple[str, str]], temperatures: Sequence[float]) -> list[str]:
    """The judge of words at equal distinct-2, where both were told at all temperatures."""
    lines = ["| ensemble less baseline | judge of words at equal distinct-2 |", "|---|---|"]
    for pair in pairs:
        lists = []
        for name in pair:
            points = [
                (values.get(("distinct_2", f"{name} @{t:g}")), values.get(("auc_word", f"{name} @{t:g}")))
                for t in temperatures
            ]
            lists.append(
                [Point(d.value, q) for d, q in points if isinstance(d, Resampled) and isinstance(q, Resampled)]
            )
        try:
            lines.append(f"| {pair[1]} less {pair[0]} | {matched_difference(*lists).interval()} |")
        except DataError as why:
            lines.append(f"| {pair[1]} less {pair[0]} | {why} |")
    return lines


def candidates(
    texts: Sequence[Text], members: Sequence[str], drafts: Sequence[int], scorers: Mapping[str, Scorer], shown_at: float
) -> list[Text]:
    """The best and the shown of every pool that is full, at every temperature."""
    found = []
    for temperature, count in itertools.product(sorted({t.temperature for t in texts if t.temperature}), drafts):
        own = [text for text in texts if text.temperature == temperature]
        prompts = len({text.prompt_id for text in own})
        if all(sum(t.system == name and (t.seed or 0) <= count for t in own) == count * prompts for name in members):
            last = temperature == shown_at and count == drafts[-1]
            for pool, several in pools(own, members, count).items():
                found += reranked(pool, several, count, scorers, shown=last)
    return found


def big_table(bench: Bench, values: Values, priced: Mapping[str, float]) -> list[str]:
    """One line a system."""
    lines = [f"| system | cost | {' | '.join(METRICS)} | coherence |", "|---|---:|" + "---:|" * (len(METRICS) + 1)]
    for system in bench.systems:
        row = [values.get((metric, system.label)) for metric in (*METRICS, "coherence")]
        cells = [str(value.interval() if isinstance(value, Resampled) else value or "") for value in row]
        price = f"{priced[system.name]:.1f}" if system.name in priced else ""
        lines.append(f"| {system.label} | {price} | {' | '.join(cells)} |")
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--members", nargs="+", required=True)
    parser.add_argument("--mixtures", nargs="*", default=[])
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--drafts", nargs="+", type=int, default=[4, 8])
    parser.add_argument("--seeds", type=int, default=2, help="texts a prompt of a system whose diversity is measured")
    parser.add_argument("--temperature", type=float, default=1.0, help="the one that wins are counted at")
    parser.add_argument(
        "--scores", nargs="*", type=Path, default=[], help="files of `score`; what is missing is read here"
    )
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    members, drafts, at = options.members, sorted(options.drafts), f" @{options.temperature:g}"
    given = {name: int(few or len(members)) for name, _, few in (text.partition("=") for text in options.mixtures)}
    texts = complete(gather(options.texts))
    systems = list(dict.fromkeys(text.system for text in texts if text.system != HUMAN))
    mixtures = {name: few for name, few in given.items() if name in systems}
    if missing := [name for name in members if name not in systems]:
        raise DataError(f"the members {', '.join(missing)} did not answer enough prompts with all of their seeds.")
    single = [name for name in systems if name not in members and name not in mixtures]
    told_by_models = [text.text for text in texts if text.system != HUMAN]
    known = options.out / "scores.json"
    if options.scores:
        write_json(known, {key: value for path in options.scores for key, value in read_json(path).items()})
    coherent = score(told_by_models, known)
    scorers: dict[str, Scorer] = draft_scorers("en", coherence=False)
    scorers["coherence"] = lambda some, request: [
        math.nan if (value := coherent.get(hash_of(text))) is None else value for text in some
    ]
    ranked = candidates(texts, members, drafts, scorers, options.temperature)
    everything = [text for text in [*texts, *ranked] if text.temperature in (None, options.temperature)]
    everything = [text for text in everything if text.system.startswith("shown") or (text.seed or 0) <= options.seeds]
    compared = len(plan(members, single, mixtures, drafts, members[0]))  # as many, whichever member is the best
    bench = lay_out(everything, "en", compared=compared)
    background = [story for folder in options.data for story in itertools.islice(read_split(folder, "train"), 150)]
    plane = frontier([*texts, *ranked], compared)
    values = measure(bench, background, coherent, options.out / "embeddings.safetensors")
    # Of one text a prompt: two of them share their subject, and so their words.
    values |= {key: value for key, value in plane.items() if key[0] == "distinct_2" and key in values}
    priced = costs(texts, members, mixtures, drafts)
    areas = {name: values.get(("auc_word", name + at)) for name in members}
    best = min(members, key=lambda name: area.value if isinstance(area := areas[name], Resampled) else math.inf)
    pairs = plan(members, single, mixtures, drafts, best)
    temperatures = sorted({text.temperature for text in texts if text.temperature})
    lines = [*big_table(bench, values, priced), "", f"Baseline: {best}.", "", *compare(values, pairs, at), ""]
    lines += at_equal_diversity(plane, pairs, temperatures)
    rivals = [f"best of {count} by {name}" for name in (best, "all") for count in drafts]
    rivals = [name for name in rivals if any(text.system == name for text in ranked)]
    report = {"members": wins(everything, members), "rivals": wins(everything, [*systems, *rivals])}
    for name, found in report.items():
        lines += ["", f"{name}: {found['prompts']} prompts, entropy of the best {found['entropy_bits']} of "
                  f"{found['at_most_bits']} bits", "", f"{found['best_by_genre']}"]  # fmt: skip
        lines += [
            "",
            "Shares of few prompts, without intervals; those of all genres together have theirs in ensembles.json.",
        ]
        for genre, won in found["pairs_by_genre"].items():
            lines += ["", *win_matrix(won, f"{genre}, {sum(found['best_by_genre'][genre].values())}")]
    write_json(options.out / "ensembles.json", report | {"costs": priced, "best_member": best})
    write_atomic(options.out / "ensembles.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
