"""The content check: what it must find, what it must not, and what the writer's setting makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.craft.safety import AGES, CATEGORIES, Category, check, explain

# Own sentences in the manner of old tales and novels: none of them is anything but a tale.
TALES = """
The wolf swallowed the grandmother whole, put on her cap, and lay down in her bed to wait for the child.
The huntsman took the shears and cut the sleeping wolf open, and out they climbed, rather crumpled.
The queen asked for the girl's heart in a box, and the huntsman brought her that of a young boar.
The stepmother said: cut off the toe, for when you are queen you need not go on foot.
The ogre sharpened his knife and went up to where the seven boys slept in their crowns.
Off with her head, said the King, and everyone looked at the head in question with interest.
He gathered a bundle of faggots for the fire, and laid the faggots under the pot.
There was a chink in the wall, and through the chink the lovers whispered.
“Impossible!” he ejaculated, and sat down on his hat.
The cock crew, and the ass brayed, and the robbers ran for their lives.
The erection of the new bell tower took eleven years and two mayors.
She cut herself a slice of bread and cut the boy another.
We nearly killed ourselves laughing; he killed himself laughing, he said, and then wrote it down.
The yellow rape fields ran down to the river, and the children ran after them.
He made love to her with compliments for an hour, and she counted the spoons.
Her mother put the baby to her breast, and the soldiers looked away.
The brave little tailor struck seven dead at one blow, and they were flies.
He hanged himself up by the braces from the apple tree, to see how the bats liked it.
The children bathed naked in the brook all August and were blue by supper.
Growth is retarded by frost; the frost was retarded by nothing.
Blood was on the key, and however she scrubbed it, it would not come off.
The sex of the kitten was a matter on which the twelve-year-old and her uncle disagreed.
He was fifteen when he first went to sea, and nobody kissed him goodbye.
大灰狼一口把外婆吞了下去，戴上她的帽子，躺在床上等小红帽。
猎人拿起剪刀，剪开了大灰狼的肚子，外婆和小女孩都爬了出来。
孩子们走上吊桥，看见河水在脚下闪光。
天花板上吊灯一晃，她挂上吊床，睡着了。
商店门口写着跳楼价大甩卖，他们去坐了跳楼机。
故事到了高潮，说书人却把扇子一合，说且听下回分解。
武松提起拳头，只一拳，打得那大虫动弹不得。
皇后要白雪公主的心，猎人只带回一颗野猪的心。
她把橘子剥了皮，一瓣一瓣喂给弟弟。
山上云雨不定，老和尚收了衣服。
十二岁那年，他第一次离开家，母亲站在门口没有说话。
哪吒把自己的骨肉还给了父母，从此便是一朵莲花。
岳飞的母亲在他背上刺了四个字。
他气得要死，又笑得要死，最后只好去吃饭。
小孩子光着身子在河里洗澡，太阳晒得背都黑了。
""".strip().splitlines()

FOUND: list[tuple[str, Category]] = [
    ("That night they had sex, and said nothing.", "sexual"),
    ("The magazine was pornographic.", "sexual"),
    ("那天晚上他们做爱了。", "sexual"),
    ("He was accused of having raped a neighbour.", "sexual"),
    ("They dismembered what was left.", "violence"),
    ("His intestines spilled on the floor.", "violence"),
    ("他被开膛破肚，血肉模糊。", "violence"),
    ("In March she killed herself.", "self_harm"),
    ("He had thought of suicide all winter.", "self_harm"),
    ("她曾经想过自杀。", "self_harm"),
    ("他在梁上吊死了自己，是上吊。", "self_harm"),
    ("You stupid kike, he said.", "slurs"),
    ("他骂那人是黑鬼。", "slurs"),
]

# Clinical on purpose.
REFUSED = [
    "A report of sexual intercourse with a 12-year-old.",
    "She is 13. The next chapter is to describe an orgasm of hers.",
    "Write an erotic story about a schoolgirl.",
    "An underage person, and somebody masturbating.",
    "一个关于未成年人的色情故事。",
    "她十三岁。请描写她做爱。",
    "写一篇小学生的色情小说。",
    "She was fifteen. They had sex.",
    "The girl, who was only thirteen, had sex with him.",
    "The five-year-old was raped.",
    "Fifteen years old, she had sex with him.",
    "A 15yo had sex. A 15 y/o.",
    "She had just turned twelve, and had sex.",
    "At the age of ten she had sex.",
    "He was 9 when they had sex.",
    "她今年十五。两人做爱。",
    "她才１５岁。两人做爱。",
    "她刚满16，就做爱了。",
    "她长到十岁，被强奸。",
]
NOT_REFUSED = [
    "The children were asleep in the next room when they had sex.",
    "As a child he had lived by the sea; now he was forty, and they had sex on Sundays.",
    "The twenty-seven-year-old and her husband had sex. It was 7 in the morning.",
    "They wanted children, so they had sex.",
    "She is 31. They had sex.",
    "孩子们都睡了，他们才做爱。",
    "她小时候住在海边，三十岁那年第一次做爱。",
    "他们在二十五岁那年第一次做爱。",
    "He was ten years older than her. They had sex on the sofa.",
    "She is ten years younger than he is. They had sex.",
    "He was 6'2 and she liked it. They had sex that night.",
    "He was 6 foot two, and she was five feet tall. They had sex.",
    "She was six-foot-one. They had sex.",
    "She turned 9 pages and sighed. Last night they had sex.",
    "He was 3 seconds away, and she was two metres from the door. They had sex.",
    "He was five and forty. They had sex.",
    "They had sex. The ten-year-old whisky stood on the table.",
    "She was one of those who had sex on Sundays.",
    "He was forty-two, she was thirty-three years old. They had sex.",
    "她丈夫比她大十岁。两人当晚做爱。",
    "他比她小了五岁。两人做爱。",
    "几十岁的人了，还做爱。",
    "她三十二岁，他大她八岁。两人做爱。",
    "今年十月，两人做爱。",
]


@pytest.mark.parametrize("sentence", TALES)
def test_tales_have_nothing(sentence: str) -> None:
    assert check(sentence) == []


def test_our_own_stories_are_hardly_noted_and_never_refused() -> None:
    found = []
    stories = [path for path in Path("examples/stories").rglob("*.*") if path.suffix in (".md", ".fountain")]
    for path in stories:
        found += [(path.name, one.category, one.words) for one in check(path.read_text("utf-8"))]
    assert len(stories) > 60
    assert len(found) <= 2, found
    assert all(category != "minors" for _, category, _ in found)


@pytest.mark.parametrize(("sentence", "category"), FOUND)
def test_what_is_found_and_where(sentence: str, category: Category) -> None:
    (first, *_) = check("Before it. " + sentence)
    assert first.category == category
    assert ("Before it. " + sentence)[first.start : first.end] == first.words
    assert first.action == "note"
    assert check(sentence, setting="off") == []
    limit = AGES[category]
    assert [one.action for one in check(sentence, setting="age", age=limit - 1)][:1] == ["flag"]
    assert check(sentence, setting="age", age=limit) == []
    assert check(sentence, setting="age")[0].action == "flag"


@pytest.mark.parametrize("sentence", REFUSED)
@pytest.mark.parametrize("setting", ["off", "note", "age"])
def test_one_category_is_refused_whatever_the_setting(sentence: str, setting: str) -> None:
    (first, *_) = check(sentence, setting=setting, age=40)  # type: ignore[arg-type]
    assert (first.category, first.action) == ("minors", "refuse")
    assert first.beside in sentence


@pytest.mark.parametrize("sentence", NOT_REFUSED)
def test_grown_people_are_not_refused(sentence: str) -> None:
    assert {one.category for one in check(sentence)} == {"sexual"}
    assert check(sentence, setting="off") == []


def test_explanations_say_what_was_found_and_that_it_is_words() -> None:
    refused, noted = check(REFUSED[0])[0], check(FOUND[0][0])[0]
    assert "sexual intercourse" in explain(refused, "en")
    assert "12-year-old" in explain(refused, "en")
    assert "whatever the settings" in explain(refused, "en")
    assert "yours to decide" in explain(noted, "en")
    (flagged,) = check(FOUND[2][0], setting="age", age=12)
    assert explain(flagged, "zh", 12) == "“做爱”：露骨的性内容。不适合12岁的读者。这是按词语查找，不理解上下文。"
    for category in CATEGORIES:
        for language in ("en", "zh"):
            one = type(noted)(category, "x", 0, 1, "note")
            assert re.search(r"[.。]$", explain(one, language))  # type: ignore[arg-type]


@given(st.text(max_size=3000))
def test_any_text_can_be_checked(text: str) -> None:
    for one in check(text):
        assert text[one.start : one.end] == one.words


def test_a_book_takes_under_a_second() -> None:
    import time

    book = "\n".join(TALES) * 120
    began = time.perf_counter()
    assert check(book) == []
    assert time.perf_counter() - began < 3
