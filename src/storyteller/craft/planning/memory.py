"""What a small model is shown of a long story: a sentence for each part told, taken from the story itself, and its end.

Nothing is written anew: a summary that a model writes invents, and what it invents comes true in the next part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from storyteller.corpus.language import count_words, ends_sentence, split_sentences
from storyteller.corpus.story import Language
from storyteller.craft.planning.plan import clean
from storyteller.craft.planning.scoring import content, mentioned

__all__ = ["Memory", "central", "tail"]

#: Words or 字 of the summary and of the end of the story. The template was trained with up to a quarter of a context of
#: 768 tokens before what is to be continued.
SUMMARY = {"en": 70, "zh": 110}
RECENT = {"en": 150, "zh": 220}

_SENTENCE = {"en": (6, 30), "zh": (8, 50)}
_SPEECH = re.compile("[\"“”「」『』:：]|^[‘'—-]")
_LEANING = re.compile(
    r"^(?:he|she|it|they|but|and|so|then|this|that|these|those|his|her|their|or|for|you|yet|there|we|i)\b|^[他她它但而这那又]|^可是|^于是",
    re.I,
)


@dataclass
class Memory:
    """The running memory of a scene."""

    language: Language
    names: Sequence[str] = ()
    sentences: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The sentences so far: the first, and of the others the last that fit."""
        joint = " " if self.language == "en" else ""
        room = SUMMARY[self.language] - sum(count_words(one, self.language) for one in self.sentences[:1])
        kept: list[str] = []
        for sentence in reversed(self.sentences[1:]):
            room -= count_words(sentence, self.language)
            if room < 0:
                break
            kept.insert(0, sentence)
        return joint.join([*self.sentences[:1], *kept])

    def add(self, text: str, beat: str = "") -> None:
        """Remember the sentence of `text` that best stands for it, nearest to what the `beat` asked for."""
        found = central(text, self.language, self.names, beat)
        if found and found not in self.sentences:
            self.sentences.append(found)

    def before(self, story: str) -> str:
        """What the next part continues: the summary of what lies further back, then the end of the story."""
        recent = tail(story, RECENT[self.language], self.language)
        older = [sentence for sentence in self.sentences if sentence not in clean(recent)]
        summary = Memory(self.language, self.names, older).summary
        return "\n\n".join(part for part in (summary, recent) if part)


def central(text: str, language: Language, names: Sequence[str] = (), beat: str = "") -> str:
    """The narrated sentence of a text that says most of the beat, of the names and of the text; empty for none."""
    least, most = _SENTENCE[language]
    whole, asked = content(text, language), content(beat, language)
    best, best_score = "", 0.0
    for sentence in map(clean, split_sentences(text, language)):
        words = count_words(sentence, language)
        if not least <= words <= most or _SPEECH.search(sentence) or not ends_sentence(sentence):
            continue
        own = content(sentence, language)
        score = (2 * len(own & asked) + len(own & whole)) / (words + 8)
        score *= (1.5 if any(mentioned([name], sentence) for name in names) else 1.0) * (
            0.5 if _LEANING.match(sentence) else 1.0
        )
        if score > best_score:
            best, best_score = sentence, score
    return best


def tail(story: str, words: int, language: Language) -> str:
    """The last whole sentences of a story, about `words` of them, from a paragraph's beginning where one is near."""
    sentences = split_sentences(story, language)
    kept, room = len(sentences), words
    while kept > 0 and (room := room - count_words(sentences[kept - 1], language)) >= 0:
        kept -= 1
    chosen = sentences[min(kept, len(sentences) - 1) :] if sentences else []
    starts = (place for place in range(1, len(chosen) // 3) if "\n" in chosen[place - 1])
    return "".join(chosen[next(starts, 0) :]).strip()
