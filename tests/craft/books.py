"""Books for the tests of formats: two by hand, and strategies that make any."""

from __future__ import annotations

from hypothesis import strategies as st

from storyteller.craft.book import Book, Entry, Part
from storyteller.craft.formats.outline import is_break, is_chapter_title

ENGLISH = Book(
    "The <Lamp> & I",
    "Ann Writer",
    "en",
    parts=[
        Part(
            "chapter",
            "The First Night",
            parts=[Part("scene", text='She said *no* & "left".\nThen **rain**.'), Part("scene", text="Later.")],
        ),
        Part("chapter", "Two", parts=[Part("scene", "Night", "Dark."), Part("scene", "Day", "Light, at last.")]),
    ],
    entries=[Entry("person", "Ann", ["Annie"], text="She keeps the light.")],
    memory="It is 1901.",
    note="Slowly.",
)
CHINESE = Book(
    "茶馆夜雨",
    "李明",
    "zh",
    parts=[
        Part(
            "chapter",
            "第一章 雨",
            parts=[Part("scene", text="雨水敲着瓦片。\n“你来了。”他*低声*说。"), Part("scene", text="后来，灯灭了。")],
        ),
        Part("chapter", "第二章 船", parts=[Part("scene", text="船没有来。")]),
    ],
    entries=[Entry("person", "小明", ["阿明"], text="茶馆的伙计。")],
    memory="故事发生在江南。",
    note="慢一点。",
)
ENGLISH_SCRIPT = Book(
    "The Lamp",
    "Ann Writer",
    "en",
    "screenplay",
    parts=[
        Part(
            "chapter",
            "Act One",
            parts=[
                Part(
                    "scene",
                    "INT. LIGHTHOUSE - NIGHT",
                    "INT. LIGHTHOUSE - NIGHT #1#\n\nRain. A *lamp*.\n\nANN\n(softly)\nWho is there?\n\nSEAL ^\nMe.\n\nCUT TO:",
                ),
                Part("scene", "EXT. ROCK - DAY", "EXT. ROCK - DAY\n\n[[a note]]\n\n> THE END <"),
            ],
        )
    ],
)
CHINESE_SCRIPT = Book(
    "茶馆",
    "李明",
    "zh",
    "screenplay",
    parts=[
        Part(
            "chapter",
            "第一幕",
            parts=[
                Part(
                    "scene",
                    "INT. 内景 茶馆 - 夜",
                    "INT. 内景 茶馆 - 夜 #1#\n\n雨水敲着瓦片。\n\n@小明\n(低声)\n你来了。\n\n@小红 ^\n我来了。\n\n> 切至:",
                ),
                Part("scene", "EXT. 外景 码头 - 日", "EXT. 外景 码头 - 日\n\n船开了。"),
            ],
        )
    ],
)
BOOKS = [ENGLISH, CHINESE, ENGLISH_SCRIPT, CHINESE_SCRIPT]

_LETTERS = st.sampled_from(
    [*list("abcXYZ019 .,!?-'\"“”‘’—<>&#=@~`_|\\/:;()[]{}$%^+é雨夜茶馆他说，。！？：“”《》…—·中"), "😀"]
)
_WORDS = st.text(_LETTERS, min_size=1, max_size=25).map(lambda text: " ".join(text.split()))


def _is_prose(line: str) -> bool:
    return bool(line) and not is_break(line)


LINE = _WORDS.filter(_is_prose)
EMPHASIS = st.builds(
    lambda before, word, mark, after: f"{before} {mark}{word}{mark} {after}",
    st.sampled_from(["She", "他说："]),
    st.sampled_from(["no", "雨 夜", "so be it"]),
    st.sampled_from(["*", "**", "***"]),
    st.sampled_from(["again.", "。"]),
)
TITLE = st.text(st.sampled_from(list("abcXYZ 雨夜茶馆&<>'\"!?-，")), max_size=12).map(
    lambda text: " ".join(text.split())
)
_NAMED = TITLE.filter(lambda title: bool(title) and not is_break(title) and not is_chapter_title(title))
TEXT = st.lists(st.one_of(LINE, EMPHASIS), min_size=1, max_size=4).map("\n".join)


@st.composite
def books(draw: st.DrawFn) -> Book:
    """A book of titled chapters, each with scenes that all have a title or all have none."""
    titled = draw(st.booleans())
    chapters = []
    for number in range(draw(st.integers(1, 3))):
        scenes = [Part("scene", draw(_NAMED) if titled else "", draw(TEXT)) for _ in range(draw(st.integers(1, 3)))]
        chapters.append(Part("chapter", f"{draw(_NAMED)} {number}", parts=scenes))
    title = draw(_NAMED)
    return Book(
        f"Book {title}",
        draw(st.sampled_from(["", "Ann Writer", "李明"])),
        draw(st.sampled_from(["en", "zh"])),
        parts=chapters,
    )


def manuscript(book: Book) -> list[tuple[str, str, str]]:
    """What must survive a round trip: every part's kind, title and text."""
    return [(part.kind, part.title, part.text) for part in book.walk()]
