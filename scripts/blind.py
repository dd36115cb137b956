"""Tell 16 stories with each of two models and shuffle the names away: python scripts/blind.py BASE MODEL OUT

Writes OUT/blind.md for the reader, and OUT/key.json: for each prompt, whether X is the second model.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from storyteller import Storyteller
from storyteller.runs import write_atomic, write_json

PROMPTS = (
    ("A lighthouse keeper finds a talking seal.", "story", 150),
    ("Two sisters inherit a clock that runs backwards.", "story", 150),
    ("A ferryman refuses his last passenger.", "story", 200),
    ("A boy trades his shadow for a loaf of bread.", "story", 150),
    ("The fox who wanted to be a judge.", "fable", 120),
    ("A detective is hired to find a stolen smell.", "story", 200),
    ("Grandmother's garden grows letters instead of flowers.", "story", 150),
    ("A robot learns to lie at a village fair.", "story", 200),
    ("The last train does not stop where it should.", "story", 200),
    ("A thief breaks into a house and finds a party in his honour.", "story", 200),
    ("Two soldiers on opposite sides share a fire.", "dialogue", 150),
    ("A queen must choose between three honest liars.", "story", 200),
    ("The well at the end of the world.", "story", 150),
    ("A sailor receives a letter from himself.", "story", 200),
    ("An ant asks the moon for help.", "fable", 120),
    ("A teacher explains thunder to a frightened child.", "lesson", 150),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("models", nargs=2)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    texts = [_tell(model) for model in options.models]
    chance = random.Random(7)
    key, parts = [], []
    for number, (prompt, form, words) in enumerate(PROMPTS):
        swapped = chance.random() < 0.5
        first, second = (texts[1], texts[0]) if swapped else (texts[0], texts[1])
        key.append(swapped)
        parts.append(f"# {number + 1}. {form}, about {words} words: {prompt}\n\n")
        parts.append(f"## X\n\n{first[number]}\n\n## Y\n\n{second[number]}\n\n")
    write_atomic(options.out / "blind.md", "".join(parts))
    write_json(options.out / "key.json", key)


def _tell(model: str) -> list[str]:
    teller = Storyteller.load(model)
    told = [
        teller.tell(prompt, form=form, words=words, seed=100 + n) for n, (prompt, form, words) in enumerate(PROMPTS)
    ]
    teller.close()
    return [story.text for story in told]


if __name__ == "__main__":
    main()
