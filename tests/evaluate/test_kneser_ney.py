from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.errors import DataError, ModelError
from storyteller.evaluate.kneser_ney import (
    Cost,
    KneserNey,
    bits_per_byte,
    fit_texts,
    log_perplexity,
    perplexity_gap,
    reverse_costs,
    text_costs,
)
from storyteller.evaluate.statistics import Bootstrap

Grams = dict[tuple[int, ...], Counter[int]]


class Slow:
    """The same model by dictionaries and recursion, as Chen and Goodman write it down."""

    def __init__(self, sequences: list[list[int]], vocabulary: int, order: int) -> None:
        self.vocabulary, self.order = vocabulary, order
        begin, end = vocabulary, vocabulary + 1
        texts = [(begin, *sequence, end) for sequence in sequences]
        raw = {
            k: Counter(text[i : i + k] for text in texts for i in range(len(text) - k + 1)) for k in range(1, order + 1)
        }
        self.grams: dict[int, Grams] = {}
        self.discounts = {}
        for k in range(1, order + 1):
            grams: Grams = defaultdict(Counter)
            for gram, count in raw[k].items():
                if gram[-1] == begin:
                    continue
                if k < order and gram[0] != begin:
                    count = sum(1 for longer in raw[k + 1] if longer[1:] == gram)
                grams[gram[:-1]][gram[-1]] = count
            self.grams[k] = grams
            seen = Counter(count for counts in grams.values() for count in counts.values())
            n1, n2, n3, n4 = (seen[times] for times in (1, 2, 3, 4))
            if n1 and n2 and n3 and n4:
                y = n1 / (n1 + 2 * n2)
                found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
                self.discounts[k] = [min(max(d, 0.05), top) for d, top in zip(found, (0.95, 1.95, 2.95), strict=True)]
            else:
                self.discounts[k] = [0.5, 1.0, 1.5]

    def probability(self, context: tuple[int, ...], token: int) -> float:
        shorter = self.probability(context[1:], token) if context else 1 / (self.vocabulary + 1)
        counts = self.grams[len(context) + 1].get(context)
        if not counts:
            return shorter
        total = sum(counts.values())
        taken = {key: self.discounts[len(context) + 1][min(count, 3) - 1] for key, count in counts.items()}
        return (counts[token] - taken.get(token, 0)) / total + sum(taken.values()) / total * shorter

    def logs(self, sequence: list[int]) -> list[float]:
        text = (self.vocabulary, *sequence, self.vocabulary + 1)
        return [
            float(np.log(self.probability(text[max(0, i - self.order + 1) : i], text[i]))) for i in range(1, len(text))
        ]


def zipf(chance: np.random.Generator, length: int, vocabulary: int) -> list[int]:
    return [int(token) for token in np.minimum(chance.zipf(1.5, length) - 1, vocabulary - 1)]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 6), max_size=12), min_size=1, max_size=8), st.integers(2, 5), st.integers(0, 99)
)
def test_it_agrees_with_the_definition(sequences: list[list[int]], order: int, seed: int) -> None:
    if not any(sequences):
        sequences = [[0]]
    fast, slow = KneserNey.fit(sequences, 7, order), Slow(sequences, 7, order)
    others = [*sequences, zipf(np.random.default_rng(seed), 15, 7), []]
    for sequence, logs in zip(others, fast.log_probabilities(others), strict=True):
        assert logs == pytest.approx(slow.logs(sequence))


def test_it_agrees_where_the_discounts_are_estimated() -> None:
    chance = np.random.default_rng(0)
    sequences = [zipf(chance, 30, 300) for _ in range(20)]
    fast, slow = KneserNey.fit(sequences, 300, 3), Slow(sequences, 300, 3)
    assert slow.discounts[1] != [0.5, 1.0, 1.5]
    assert slow.discounts[3] != [0.5, 1.0, 1.5]
    other = zipf(chance, 30, 300)
    assert fast.log_probabilities([other])[0] == pytest.approx(slow.logs(other))


def test_probabilities_sum_to_one() -> None:
    chance = np.random.default_rng(1)
    model = KneserNey.fit([zipf(chance, 60, 20) for _ in range(20)], 20, 4)
    for context in ([], [0], [3, 1, 0], [19, 19, 19], zipf(chance, 6, 20)):
        logs = model.log_probabilities([[*context, token] for token in range(20)] + [context])
        total = sum(float(np.exp(log[len(context)])) for log in logs)
        assert total == pytest.approx(1.0)


def test_it_beats_add_one_and_knows_order() -> None:
    chance = np.random.default_rng(2)
    step = chance.integers(0, 50, (50, 3))

    def walk() -> list[int]:
        token, found = 0, []
        for _ in range(40):
            token = int(step[token, chance.choice(3, p=[0.7, 0.2, 0.1])])
            found.append(token)
        return found

    train, test = [walk() for _ in range(60)], [walk() for _ in range(10)]
    model = KneserNey.fit(train, 50, 3)
    ours = -np.concatenate([log[:-1] for log in model.log_probabilities(test)]).mean()
    pairs = Counter(pair for walked in train for pair in pairwise(walked))
    singles = Counter(token for walked in train for token in walked)
    add_one = -np.mean([np.log((pairs[a, b] + 1) / (singles[a] + 50)) for walked in test for a, b in pairwise(walked)])
    assert ours < add_one - 0.1
    shuffled = [[int(token) for token in chance.permutation(walked)] for walked in test]
    assert -np.concatenate(model.log_probabilities(shuffled)).mean() > ours + 1


def test_it_survives_a_round_trip_and_a_damaged_folder(tmp_path: Path) -> None:
    model = KneserNey.fit([[1, 2, 3, 1, 2]], 5, 3)
    model.save(tmp_path / "model")
    again = KneserNey.load(tmp_path / "model")
    assert again.order == 3
    assert np.array_equal(again.log_probabilities([[1, 2, 4]])[0], model.log_probabilities([[1, 2, 4]])[0])
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="fit it again"):
        KneserNey.load(tmp_path / "model")


def test_bad_input() -> None:
    with pytest.raises(DataError, match="no token"):
        KneserNey.fit([[], []], 5)
    with pytest.raises(DataError, match="another tokenizer"):
        KneserNey.fit([[1, 9]], 5)
    with pytest.raises(DataError, match="no context"):
        KneserNey.fit([[1]], 5, order=1)


class Bytes:
    """A tokenizer of bytes."""

    vocabulary_size = 256

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]


@pytest.mark.parametrize(
    ("human", "dull", "garbled"),
    [
        (
            "The seal {} swam to the {} lighthouse and asked for a {} story.",
            "and then and then and then {}",
            "qx{} zzk vvw{}",
        ),
        ("小海豹{}游到{}灯塔，请守塔人讲一个{}故事。", "然后然后然后然后{}", "薾{}龘靐齉{}"),
    ],
)
def test_perplexity_is_a_distance_with_a_direction(human: str, dull: str, garbled: str) -> None:
    def fill(text: str, start: int) -> list[str]:
        return [text.replace("{}", str(number)) for number in range(start, start + 60)]

    model = fit_texts(fill(human, 0) + fill(dull, 0), Bytes())  # type: ignore[arg-type]
    labels = [str(number) for number in range(60)]
    bootstrap = Bootstrap(labels)
    costs = {
        name: text_costs(model, fill(text, 60), Bytes()) for name, text in (("h", human), ("d", dull), ("g", garbled))
    }  # type: ignore[arg-type]
    assert costs["h"][0].bytes == len(fill(human, 60)[0].encode()) == costs["h"][0].tokens - 1
    higher = perplexity_gap(bootstrap, costs["h"], costs["g"], labels, labels).interval()
    assert higher.low is not None
    assert higher.low > 0
    lower = perplexity_gap(bootstrap, costs["h"], costs["d"], labels, labels).interval()
    assert lower.high is not None
    assert lower.value < higher.value
    assert perplexity_gap(bootstrap, costs["h"], costs["h"], labels, labels).interval().value == 0
    total = log_perplexity(bootstrap, costs["h"], labels).value
    assert total == pytest.approx(sum(c.nats for c in costs["h"]) / sum(c.tokens for c in costs["h"]))


def test_bits_per_byte_is_over_all_texts() -> None:
    costs = [Cost(np.log(2) * 8, 3, 2), Cost(np.log(2) * 2, 1, 3)]
    assert bits_per_byte(Bootstrap("ab"), costs, "ab").value == pytest.approx(2.0)  # type: ignore[arg-type]


def test_the_reverse_model_sees_lost_modes() -> None:
    chance = np.random.default_rng(3)

    def stories(modes: int, number: int) -> list[str]:
        return [
            " ".join(f"word{mode}{chance.integers(9)}" for mode in chance.integers(0, modes, 60)) for _ in range(number)
        ]

    human = stories(20, 20)
    loss = {
        modes: sum(cost.nats for cost in reverse_costs(stories(modes, 80), human, Bytes(), budget=20_000))  # type: ignore[arg-type]
        for modes in (20, 4)
    }
    assert loss[20] < loss[4]
    with pytest.raises(DataError, match="the whole budget"):
        reverse_costs(human, human, Bytes(), budget=10_000_000)  # type: ignore[arg-type]
