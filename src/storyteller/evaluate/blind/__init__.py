"""Blind comparison by people: a page on this machine that shows pairs of texts and keeps which one was preferred.

`session` is one rater's way through the pairs, `schedule` their order and sides, `judgements` the file that keeps every
answer, `server` the page's other end, `results` what the answers say; `page/` is the page itself.
"""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storyteller.evaluate.blind.judgements import Judgement, read_judgements, standing
from storyteller.evaluate.blind.results import comparisons_of, render, summarise
from storyteller.evaluate.blind.session import Session, write_summary
from storyteller.evaluate.bradley_terry import detectable, fewest, sample_size
from storyteller.evaluate.pairs import Pair, choose_pairs
from storyteller.evaluate.texts import read_texts
from storyteller.runs.console import say

__all__ = [
    "Judgement",
    "Session",
    "comparisons_of",
    "judge_blind",
    "read_judgements",
    "render",
    "standing",
    "summarise",
    "write_summary",
]


def judge_blind(
    texts: Sequence[Path],
    systems: Sequence[str] = (),
    *,
    rater: str = "me",
    pairs: int | None = None,
    effect: float = 0.6,
    seed: int = 1,
    repeat: float = 0.1,
    out: Path | None = None,
    port: int = 8765,
    browser: bool = True,
) -> dict[str, Any] | None:
    """Serve the page until Ctrl-C, and return the summary if the rater came to the end, else None.

    `pairs` is by default what the `effect` takes of every two systems; the judgements go to `out`, by default
    `blind.jsonl` beside the first file of texts, and a second call goes on where the first was left. Raises `DataError`
    for texts that make no pairs and `StorytellerError` for a port that is in use.
    """
    from storyteller.evaluate.blind.server import listen, serve

    out = out or texts[0].with_name("blind.jsonl")
    known = [text for path in texts for text in read_texts(path)]
    chosen = choose_pairs(known, systems, seed=seed)
    met = len({(pair.first, pair.second) for pair in chosen})
    chosen = chosen[: pairs or sample_size(effect) * met]
    session = Session(chosen, rater, out, seed=seed, repeat=repeat, effect=effect)
    say(_plan(chosen, effect, session))
    listener = listen(port)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    say(f"open {address} and judge; every answer is saved at once to {out}. Ctrl-C ends.")
    if browser:
        webbrowser.open(address)
    serve(session, listener)
    if session.finished:
        return write_summary(out, effect)
    say(
        f"\n{session.done} of {len(session.showings)} are judged. The same command goes on; --report shows what there is."
    )
    return None


def _plan(pairs: Sequence[Pair], effect: float, session: Session) -> str:
    """What the pairs can show, said before anybody spends an hour on them."""
    met = [(pair.first, pair.second) for pair in pairs]
    least = fewest(met)
    seen = detectable(least)
    of_two = f", {least:,} or more of every two systems" if len(set(met)) > 1 else ""
    can = "no preference at all, not even a unanimous one" if seen is None else f"a preference of {seen:.1%} or more"
    again = len(session.showings) - len(pairs)
    return (
        f"To see a preference of {effect:.0%} takes {sample_size(effect):,} pairs of two systems (power 80 %, alpha 5 %, "
        f"no ties; with 20 % ties {sample_size(effect, ties=0.2):,}).\n"
        f"There are {len(pairs):,} pairs{of_two}, which can see {can}. {again} of them come twice."
    )
