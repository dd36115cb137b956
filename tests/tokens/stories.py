"""Small stories of our own that the tests of this room share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Form, Language, Story

SEAL = """Mara kept the lighthouse on the north rock. One grey morning Mara found a seal on the steps.

"You are late," said the seal. Mr. Pell, a fisherman, had never told Mara that a seal could talk.

The seal wanted a lantern. The lantern had hung in the lighthouse for a hundred years, and Mara loved it. \
So Mara asked Mr. Pell what to do, and Mr. Pell laughed. "Give the seal what it asks," said Mr. Pell.

That night Mara carried the lantern down to the water. The seal took it gently and swam away.

In the spring the lantern came back, full of small silver fish."""

LAMP = """从前，林小舟住在灯塔里。一天早晨，林小舟看见台阶上躺着一只海豹。

“你来晚了。”海豹说。林小舟从来没有听说过海豹会讲话。

海豹想要那盏灯笼。灯笼在灯塔里挂了一百年，林小舟舍不得。他去问周老伯，周老伯笑了。周老伯说：“给它吧。”

那天夜里，林小舟提着灯笼走到海边。海豹轻轻接过灯笼，游走了。

到了春天，灯笼回来了，里面装满了银色的小鱼。"""

SCENE = """INT. LIGHTHOUSE - NIGHT

MARA
Who is there?

SEAL
Only me.

MARA
(frowning)
Seals do not talk.

SEAL
And yet."""


def story(text: str, name: str = "a", language: Language = "en", form: Form = "story", **more: str) -> Story:
    return Story(name, text, language, form, count_words(text, language), **more)


def long_story(name: str, paragraphs: int, language: Language = "en") -> Story:
    parts = (SEAL if language == "en" else LAMP).split("\n\n")
    return story("\n\n".join(parts[i % len(parts)] for i in range(paragraphs)), name, language, title="The Lantern")


def write_corpus(folder: Path, train: Sequence[Story], dev: Sequence[Story] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, stories in (("train", train), ("dev", dev), ("test", ())):
        lines = (json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in stories)
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    return folder
