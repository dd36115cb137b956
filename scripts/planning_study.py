"""Planned drafting against plain writing: prints a Markdown table, and keeps every text.

    python scripts/planning_study.py OUT [--model default] [--words 1200] [--prompts 24] [--seeds 1] [--arms "a;b"]
        [--measure-only]

The same premises are told by each arm: `plain` is what `write` does (one story in a rolling window), `plain, fresh` the
same with repeats of five words forbidden, `plan` a plan of our making drafted beat by beat, `plan, asked` without each
beat's line as its first sentence, `plan, best of 2` with two drafts of each beat. Texts that are in OUT already are not
told again. Figures are means over prompts; a difference to `plain` is paired by prompt, with a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import split_sentences
from storyteller.craft.planning import Idea, Kept, Person, draft, make_plan
from storyteller.evaluate.degeneration import degeneration
from storyteller.evaluate.embedding import embed_sentences, story_embeddings
from storyteller.evaluate.people import asked_kept, keyword_coverage, people
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.evaluate.statistics import Bootstrap, mean
from storyteller.evaluate.texts import Text, read_texts, write_texts
from storyteller.generate import Storyteller
from storyteller.generate.constraint import Fresh
from storyteller.generate.engine import BatchEngine, open_batch
from storyteller.tokens import Character, Request

PROMPTS: list[tuple[str, str]] = [
    ("A lighthouse keeper finds a talking seal who wants to go home.", ""),
    ("A shy boy who collects clocks must win a race against the richest girl in town.", "Pavel:a shy boy"),
    ("Two sisters inherit a bakery that is haunted by their grandfather.", "Ida:the elder sister;Nell:the younger sister"),
    ("A retired thief is asked to steal one last painting.", ""),
    ("An old clockmaker builds a boy of brass.", ""),
    ("A girl writes letters to the moon, and one night the moon answers.", "Tamsin:a girl"),
    ("A village must decide who gives up their house for the new road.", ""),
    ("A doctor in a snowbound village has medicine for only one of two patients.", "Doctor Brandt:a doctor"),
    ("A boy finds a door at the bottom of a dry well.", ""),
    ("The last dragon opens a school.", ""),
    ("A violinist loses her hearing on the night before a great concert.", "Oriel:a violinist"),
    ("A ferryman refuses to carry a rich merchant across the river.", ""),
    ("A cook in a castle kitchen overhears a plan to poison the queen.", "Gregor:a cook"),
    ("A widow finds her husband's diary and learns that he had another name.", ""),
    ("A lost dog crosses a city to find the boy who fed it once.", ""),
    ("Two rival farmers have to share one well in a dry summer.", "Harlan:a farmer;Cobb:his rival"),
    ("A young nun hides a wounded soldier in the bell tower.", ""),
    ("A map drawn by a child turns out to be true.", ""),
    ("A baker's apprentice discovers that his bread makes people tell the truth.", "Anton:a baker's apprentice"),
    ("A woman comes back to the island that she left as a child.", ""),
    ("A robot gardener is told that the garden will be sold.", ""),
    ("A king offers half of his kingdom to anyone who can make him laugh.", ""),
    ("A teacher finds an old name carved into a school desk.", ""),
    ("A night watchman in a museum hears a statue crying.", "Silas:a night watchman"),
]  # fmt: skip
CHINESE = [
    "守塔人发现了一只会说话的海豹。",
    "一个害羞的男孩必须赢一场比赛。",
    "两个姐妹继承了一家闹鬼的面馆。",
    "一位老钟表匠造了一个铜孩子。",
]

Arm = Callable[[Idea, Storyteller, int], str]


def _plain(fresh: bool) -> Arm:
    def tell(idea: Idea, teller: Storyteller, seed: int) -> str:
        request = Request(
            language=idea.language, about=idea.text, words=idea.words,
            characters=tuple(Character(person.name, person.who) for person in idea.people),
        )  # fmt: skip
        rule = Fresh(teller.tokenizer, idea.language) if fresh else None
        return teller.tell(request, seed=seed, constraint=rule).text

    return tell


def _planned(**options: Any) -> Arm:
    def tell(idea: Idea, teller: Storyteller, seed: int) -> str:
        plan = make_plan(idea, teller, 3, seed=seed)
        events = draft(plan, idea, teller, seed=seed, **options)
        return "".join(event.text for event in events if isinstance(event, Kept)).strip()

    return tell


ARMS: dict[str, Arm] = {
    "plain": _plain(fresh=False),
    "plain, fresh": _plain(fresh=True),
    "plan, asked": _planned(lead=False),
    "plan": _planned(),
    "plan, best of 2": _planned(candidates=2),
}


class Row:
    """One row of a batch as an engine of its own: many threads each tell a story, one pass gives all their next token."""

    name = "rows"

    def __init__(self, table: Table, number: int) -> None:
        self.table, self.number = table, number
        self.context, self.vocabulary_size = table.batch.context, table.batch.vocabulary_size

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return self.table.ask(self.number, list(ids))

    def close(self) -> None:
        """The batch is the table's."""


class Table:
    """Collects what the rows ask for until every row at work has asked, and answers them together."""

    def __init__(self, batch: BatchEngine) -> None:
        self.batch = batch
        self._ready = threading.Condition()
        self._working, self._asked, self._answers = set[int](), dict[int, list[int]](), dict[int, NDArray[np.float32]]()
        self.tokens = 0

    def sit(self, number: int) -> None:
        with self._ready:
            self._working.add(number)

    def leave(self, number: int) -> None:
        with self._ready:
            self._working.discard(number)
            self._serve()

    def ask(self, number: int, ids: list[int]) -> NDArray[np.float32]:
        with self._ready:
            self._asked[number] = ids
            self._serve()
            while number not in self._answers:
                self._ready.wait()
            return self._answers.pop(number)

    def _serve(self) -> None:
        if self._asked and self._asked.keys() >= self._working:
            rows = dict(sorted(self._asked.items()))
            logits = self.batch.feed_many(rows)
            self._answers |= {number: one.copy() for number, one in zip(rows, logits, strict=True)}
            self.tokens += len(rows)
            self._asked.clear()
            self._ready.notify_all()


def write(teller: Storyteller, jobs: list[tuple[str, int, Idea, int]], path: Path, rows: int) -> None:
    """Tell every (arm, prompt, idea, seed) that is not in the file yet, `rows` at once."""
    done = read_texts(path) if path.is_file() else []
    known = {(text.system, text.prompt_id, text.seed) for text in done}
    waiting = [job for job in jobs if (job[0], f"p{job[1]}", job[3]) not in known]
    if not waiting:
        return
    table = Table(open_batch(teller.engine, min(rows, len(waiting))))
    lock, began = threading.Lock(), time.perf_counter()

    def work(number: int) -> None:
        mine = Storyteller(Row(table, number), teller.template, name=teller.name, languages=teller.languages)
        while True:
            with lock:
                if not waiting:
                    break
                arm, prompt, idea, seed = waiting.pop(0)
            text = ARMS[arm](idea, mine, seed)
            request = Request(language=idea.language, about=idea.text, words=idea.words, characters=tuple(
                Character(person.name, person.who) for person in idea.people))  # fmt: skip
            with lock:
                done.append(Text(text, arm, f"p{prompt}", idea.language, prompt=idea.text, request=request, seed=seed))
                write_texts(path, done)
                print(f"{time.perf_counter() - began:5.0f} s, {table.tokens} tokens: {arm}, {idea.text}", flush=True)
        table.leave(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(table.batch.rows)]
    for number, _ in enumerate(threads):
        table.sit(number)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.batch.close()


def figures(texts: list[Text], scorer: CoherenceScorer | None) -> dict[str, list[float]]:
    """One value of each figure for each text."""
    language = texts[0].language
    found: dict[str, list[float]] = {}
    for record in degeneration([text.text for text in texts], language):
        for name in ("words", "rep_4", "longest_repeat", "loops", "finished"):
            found.setdefault(name, []).append(getattr(record, name))
    for text in texts:
        persons, kept = people(text.text, language), asked_kept(text.text, text.request) if text.request else None
        for name in ("names", "late_third", "late_two_thirds", "persistence", "conflict"):
            found.setdefault(name, []).append(_known(getattr(persons, name)))
        found.setdefault("people asked for", []).append(_known(kept.characters if kept else None))
        found.setdefault("prompt's words", []).append(_known(keyword_coverage(text.prompt, text.text, language)))
        found.setdefault("prompt's words, last third", []).append(
            _known(keyword_coverage(text.prompt, _last(text, 1 / 3), language))
        )
    near = [story_embeddings(embed_sentences([part(text) for text in texts] + [text.prompt for text in texts], language))
            for part in (lambda text: text.text, lambda text: _last(text, 1 / 3))]  # fmt: skip
    for name, vectors in zip(("similarity", "similarity, last third"), near, strict=True):
        found[name] = (vectors[: len(texts)] * vectors[len(texts) :]).sum(1).tolist()
    if scorer is not None:
        for name, part in (("coherence, first 150 words", 0), ("coherence, last 150 words", 1)):
            cut = [" ".join(text.text.split()[-150:] if part else text.text.split()[:150]) for text in texts]
            found[name] = [score.logit for score in scorer.score(cut, language)]
    return found


def _last(text: Text, share: float) -> str:
    sentences = split_sentences(text.text, text.language)
    return "".join(sentences[int(len(sentences) * (1 - share)) :])


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


def table(texts: list[Text], scorer: CoherenceScorer | None, baseline: str) -> str:
    """The figures of every arm, and their differences to the baseline's."""
    arms = [arm for arm in ARMS if any(text.system == arm for text in texts)]
    by_arm = {arm: figures([text for text in texts if text.system == arm], scorer) for arm in arms}
    labels = {arm: [text.prompt_id for text in texts if text.system == arm] for arm in arms}
    bootstrap = Bootstrap(text.prompt_id for text in texts)
    lines = [f"| figure | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    for name in by_arm[arms[0]]:
        cells = []
        means = {}
        for arm in arms:
            values = np.array(by_arm[arm][name])
            there = np.isfinite(values)
            if not there.any():
                continue
            means[arm] = mean(
                bootstrap, values[there], [label for label, ok in zip(labels[arm], there, strict=True) if ok]
            )
            cell = f"{means[arm].value:.3g}"
            if arm != baseline and baseline in means:
                low, high = (
                    (means[arm] - means[baseline]).interval().low,
                    (means[arm] - means[baseline]).interval().high,
                )
                if low is not None and high is not None:
                    cell += f" ({low:+.2g} to {high:+.2g}{' *' if low > 0 or high < 0 else ''})"
            cells.append(cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nn = {len(bootstrap.names)} prompts, {len(texts)} stories.\n"


def _idea(prompt: tuple[str, str], words: int) -> Idea:
    cast = tuple(Person(*one.split(":")) for one in prompt[1].split(";") if one)
    return Idea.of(prompt[0], words=words, people=cast)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--words", type=int, default=1200)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", default=";".join(ARMS))
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--chinese", action="store_true")
    parser.add_argument("--measure-only", action="store_true")
    parser.add_argument("--no-scorer", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "texts.jsonl"
    prompts = [(text, "") for text in CHINESE] if options.chinese else PROMPTS
    ideas = [_idea(prompt, options.words) for prompt in prompts[: options.prompts]]
    jobs = [(arm, number, idea, seed) for seed in range(1, options.seeds + 1) for number, idea in enumerate(ideas)
            for arm in options.arms.split(";")]  # fmt: skip
    if not options.measure_only:
        teller = Storyteller.load(options.model, "llama")
        write(teller, jobs, path, options.rows)
        teller.close()
    texts = [text for text in read_texts(path) if text.text.strip()]
    scorer = None if options.no_scorer or options.chinese else CoherenceScorer.load()
    shown = table(texts, scorer, "plain")
    (options.out / "table.md").write_text(shown, encoding="utf-8")
    print(shown)
    print(json.dumps({"model": options.model, "words": options.words}))


if __name__ == "__main__":
    main()
