"""One rater's way through the pairs. It remembers nothing: where it stands is read from the file of judgements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storyteller.errors import DataError
from storyteller.evaluate.blind.judgements import (
    Choice,
    Judgement,
    append_judgement,
    check_answers,
    read_judgements,
    standing,
)
from storyteller.evaluate.blind.results import render, summarise
from storyteller.evaluate.blind.schedule import Showing, schedule
from storyteller.evaluate.pairs import Pair
from storyteller.runs.files import write_atomic, write_json

__all__ = ["OutOfStepError", "Session", "write_summary"]


class OutOfStepError(Exception):
    """The page shows another pair than the one whose turn it is (it is open twice)."""


class Session:
    """What one rater is shown and says; nothing that it gives out before the end names a system."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        rater: str,
        out: Path,
        *,
        seed: int = 1,
        repeat: float = 0.1,
        effect: float = 0.6,
    ) -> None:
        """Plan the showings.

        Raises `DataError` when `out` is no `.jsonl` file or holds this rater's judgements of pairs that are not among them.
        """
        check_answers(out)
        self.out, self.rater, self.effect = out, rater, effect
        self.showings = schedule(pairs, rater, seed, repeat)
        self.language = Counter(pair.language for pair in pairs).most_common(1)[0][0]
        self.revealed = False
        planned = {pair.id for pair in pairs}
        if any(judgement.pair not in planned for judgement in self._said()):
            raise DataError(
                f"{out} holds judgements by {rater} of pairs that are not among these: other texts, systems, --seed or "
                "fewer --pairs. Repeat the command as it was, or name another file with --out."
            )

    @property
    def done(self) -> int:
        """How many showings are judged or skipped."""
        return len(self._said())

    @property
    def finished(self) -> bool:
        """Whether no showing is left."""
        return self._current() is None

    def state(self) -> dict[str, Any]:
        """What the page shows now: progress, and the texts whose turn it is (null at the end)."""
        current = self._current()
        done = self.done
        state: dict[str, Any] = {"total": len(self.showings), "done": done, "language": self.language}
        state["revealed"] = self.revealed
        state["pair"] = current and {
            "place": self.showings.index(current),
            "language": current.pair.language,
            "prompt": current.pair.prompt,
            "continues": current.pair.continues,
            "left": current.left[1],
            "right": current.right[1],
        }
        return state

    def judge(self, place: int, choice: Choice, seconds: float = 0.0, reason: str = "") -> None:
        """Keep a judgement of the pair at `place`; on disk when this returns. `OutOfStepError` if it is another's turn."""
        current = self._current()
        if current is None or self.revealed or self.showings.index(current) != place:
            raise OutOfStepError
        append_judgement(self.out, self._judgement(current, choice, seconds, reason))

    def undo(self) -> None:
        """Withdraw this rater's last judgement, so that its pair comes again; `OutOfStepError` if there is none."""
        said = self._said()
        if not said or self.revealed:
            raise OutOfStepError
        last = next(s for s in self.showings if s.key == (said[-1].pair, said[-1].repeat))
        append_judgement(self.out, self._judgement(last, "undo", 0.0, ""))

    def reveal(self) -> dict[str, Any]:
        """The summary of everybody's judgements, written beside them; from here on this rater changes nothing."""
        if not self.finished:
            raise OutOfStepError
        summary = write_summary(self.out, self.effect)
        self.revealed = True
        return summary

    def _said(self) -> list[Judgement]:
        keys = {showing.key for showing in self.showings}
        kept = standing(read_judgements(self.out))
        return [
            said for said in kept if said.rater == self.rater and ((said.pair, said.repeat) in keys or not said.repeat)
        ]

    def _current(self) -> Showing | None:
        said = {(judgement.pair, judgement.repeat) for judgement in self._said()}
        return next((showing for showing in self.showings if showing.key not in said), None)

    def _judgement(self, showing: Showing, choice: Choice, seconds: float, reason: str) -> Judgement:
        pair = showing.pair
        (left, left_text), (right, right_text) = showing.left, showing.right
        texts = {"left": (left_text, right_text), "right": (right_text, left_text)}.get(choice, ("", ""))
        return Judgement(
            pair=pair.id,
            rater=self.rater,
            choice=choice,
            left=left,
            right=right,
            prompt_id=pair.prompt_id,
            cluster=pair.cluster,
            language=pair.language,
            repeat=showing.repeat,
            seconds=round(seconds, 2),
            reason=reason.strip(),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            prompt=pair.prompt,
            text=texts[0],
            rejected=texts[1],
        )


def write_summary(judgements: Path, effect: float = 0.6) -> dict[str, Any]:
    """The summary of a file of judgements, written beside it as `.json` and `.md`; `DataError` where nothing is judged."""
    check_answers(judgements)
    said = read_judgements(judgements)
    if not standing(said):
        raise DataError(f"{judgements} holds no judgement yet; run the same command without --report and judge some.")
    summary = summarise(said, effect)
    write_json(judgements.with_suffix(".json"), summary)
    write_atomic(judgements.with_suffix(".md"), render(summary))
    return summary
