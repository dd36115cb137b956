"""The form of a screenplay: what a model wrote freely, put into Fountain that every program reads.

Models know what a screenplay looks like, not how it is written down: `**INT. KITCHEN**`, `Scene 2: the harbour`,
`Mary: Hello.`, 小明：你来了, a cue with an empty line after it. `scene_elements`, which every export
reads, mends these and keeps every word that is said; what it does not understand is action.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from storyteller.craft.formats.fountain import Element, heading_of, is_heading, parse_script
from storyteller.craft.formats.plain import tidy

__all__ = ["scene_elements"]

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.M)
_WRAPPED = re.compile(r"^(?:[#>\-*+]{1,6}[ \t]+)?(\*{1,3}|_{1,2}|【|\[)([^*_\n]+?)(?:\1|】|\])([:：]?)$")
_WORDED_HEADING = re.compile(
    r"(?:\W*(?:scene|场景|第?[\d〇零一二三四五六七八九十百]+场|场次|景)\s*[\d〇零一二三四五六七八九十百]*(?![^\W\d_])\s*[:：.、,，\-—–]?\s*)(\S.*)?",
    re.I,
)
_INTERIOR = re.compile(r"(interior|exterior|内景|外景|內景|int|ext)(?:[\s.:：。·,，—–-]+|$)", re.I)
_TIMES = "清晨|早晨|上午|中午|下午|午后|黄昏|傍晚|夜晚|深夜|凌晨|白天|日|夜|晨|昏"
_CHINESE_SLUG = re.compile(
    rf"(?:\d+[、.．\s]*)?(?P<place>[^，。！？：:\n]{{1,20}}?)[\s·,，、—–-]+(?P<time>{_TIMES})[\s·,，、/]*(?P<side>内外|[内外內])景?"
)
_SPEECH = re.compile(
    r"(?P<name>[A-Z][\w.’'-]*(?: [A-Z#\d][\w.’'-]*){0,2}|[\u3400-\u9fff·]{1,8})"
    r"\s*(?:[(（](?P<how>[^()（）]{1,60})[)）])?\s*[:：]\s*(?P<said>\S.*)"
)
_HAN_CUE = re.compile(r"[\u3400-\u9fff·]{1,8}(?:\s*[(（][^()（）\n]{1,40}[)）])?")
_NAME = re.compile(r"(?:[A-Z][\w.’'-]*)(?: [A-Z][\w.’'-]*){0,2}(?:\s*\([^()\n]{1,40}\))?")
_TRANSITION = re.compile(
    r"(?:(?:SMASH |MATCH |JUMP |HARD )?CUT (?:TO|BACK TO)\b.{0,30}|FADE (?:IN|OUT|TO BLACK|TO)\b.{0,20}|DISSOLVE TO\b.{0,20}"
    r"|(?:切至|切到|切回|淡入|淡出|叠化至?|化入|化出|黑场)[^，。！？\n]{0,12})[:：.。]?",
    re.I,
)
_NOT_NAMES = frozenset(
    [
        "note",
        "time",
        "place",
        "location",
        "setting",
        "scene",
        "title",
        "act",
        "part",
        "chapter",
        "characters",
        "cast",
        "interior",
        "exterior",
        "day",
        "night",
        "later",
        "the",
        "and",
        "but",
        "then",
        "synopsis",
        "logline",
        "时间",
        "地点",
        "人物",
        "场景",
        "备注",
        "标题",
        "注",
        "提示",
        "旁注",
        "剧情",
        "简介",
        "主题",
    ]
)


def scene_elements(text: str) -> list[Element]:
    """The elements of a scene: as Fountain says them, or mended where a model wrote freely.

    Freely written is a scene in which Fountain sees no heading though it begins with one, or nobody who speaks though two
    lines say who does. What a person wrote as Fountain stays letter by letter.
    """
    elements = parse_script(f"\n{text}").elements
    kinds = {element.kind for element in elements}
    if "heading" in kinds:
        return elements
    lines = _cleaned(text)
    mended = _mended(lines)
    begins = next((element.kind for element in mended if element.kind not in ("transition", "section")), "")
    speeches = sum(1 for line in lines if (speech := _SPEECH.fullmatch(line)) and _is_name(speech["name"]))
    return mended if begins == "heading" or ("character" not in kinds and speeches > 1) else elements


def _cleaned(text: str) -> list[str]:
    """The lines of a text without fences and marks of Markdown."""
    return list(_lines(_FENCE.sub("", tidy(text))))


def _mended(lines: list[str]) -> list[Element]:
    """What was meant by such lines."""
    source = "\n".join(_cues_joined(list(_forced(lines))))
    return parse_script(f"\n{source}").elements


def _lines(text: str) -> Iterator[str]:
    """The lines without marks of Markdown around whole lines."""
    for line in text.split("\n"):
        bare = line.strip()
        for _ in range(3):
            wrapped = _WRAPPED.fullmatch(bare)
            if not wrapped or bare.startswith("[["):
                break
            bare = wrapped.group(2).strip() + wrapped.group(3)
        if match := re.fullmatch(r"#{1,6}[ \t]+(.+)", bare):
            inner = match.group(1).strip("*_ ")
            bare = inner if is_heading(inner) or _WORDED_HEADING.fullmatch(inner) else bare
        bare = re.sub(r"^\*\*([^*\n]{1,40})[:：]?\*\*[:：]?\s*(?=\S)", r"\1: ", bare)
        yield bare if bare.strip("*_-=~#> ") or bare == "===" else ""


def _forced(lines: list[str]) -> Iterator[str]:
    """Lines in which headings, cues and transitions are what Fountain needs to know them by."""
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        after = lines[number + 1] if number + 1 < len(lines) else ""
        if not line or line[0] in "@!>~=#(（" or line.startswith(("[[", "/*")):
            yield line
        elif heading := _heading(line):
            yield from ("", heading, "")
        elif _TRANSITION.fullmatch(line):
            yield from ("", f"> {line.rstrip(':：.。')}:", "")
        elif (speech := _SPEECH.fullmatch(line)) and _is_name(speech["name"]):
            yield from ("", f"@{_called(speech['name'])}")
            if speech["how"]:
                yield f"({speech['how'].strip()})"
            yield speech["said"].strip()
        elif not before and after and _HAN_CUE.fullmatch(line) and _is_name(line):
            yield f"@{line}"
        else:
            yield line


def _heading(line: str) -> str:
    """The heading that a line is, in canonical form; "" when it is none."""
    if is_heading(line):
        return heading_of(line)[0] if not re.search(r"#[^#]+#$", line) else line
    worded = _WORDED_HEADING.fullmatch(line)
    bare = (worded.group(1) or "") if worded else line
    slug = _CHINESE_SLUG.fullmatch(bare.strip("【】[] "))
    if slug:
        side = {"内外": "INT./EXT. 内外景", "外": "EXT. 外景"}.get(slug["side"], "INT. 内景")
        return f"{side} {slug['place'].strip()} - {slug['time']}"
    side_word = _INTERIOR.match(bare)
    if side_word and len(bare) <= 80 and (worded or bare[side_word.end() :].strip()):
        outside = side_word.group(1).lower() in ("exterior", "ext", "外景")
        chinese = re.search("[\u3400-\u9fff]", bare)
        prefix = ("EXT. 外景" if outside else "INT. 内景") if chinese else "EXT." if outside else "INT."
        rest = bare[side_word.end() :].strip(" .。")
        return f"{prefix} {rest}" if rest else ""
    if worded and len(line) <= 80 and not re.search(r"[。！？!?]", line):
        place = bare.strip(" .") or line
        return heading_of(place)[0] if re.search("[\u3400-\u9fff]", place) else f"INT. {place.upper()}"
    return ""


def _cues_joined(lines: list[str]) -> list[str]:
    """Cues get the speech that an empty line parted from them, where the text shows that they are cues."""
    candidates = {n: _called(line) for n, line in enumerate(lines) if _may_be_cue(lines, n)}
    times = Counter(candidates.values())
    forced = {_called(line[1:]) for line in lines if line.startswith("@")}
    proper = any(lines[n].isupper() and _at(lines, n + 1) for n in candidates)
    out: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        called = candidates.get(number, "")
        together = bool(_at(lines, number + 1))
        known = called in forced or times[called] > 1
        bracket = (_at(lines, number + 1) or _at(lines, number + 2))[:1] in ("(", "（")
        if called and (known or bracket or (line.isupper() and not (together or proper))):
            out.append(line if line.isupper() and together else f"@{line}")
            number += 1 if together else 2
            if _is_bracket(_at(lines, number)) and not _at(lines, number + 1) and _is_speech(_at(lines, number + 2)):
                out.append(lines[number])
                number += 2
            continue
        out.append(line)
        number += 1
    return out


def _may_be_cue(lines: list[str], number: int) -> bool:
    """Whether a line stands alone, looks like a name, and something that may be speech comes next."""
    line = lines[number]
    if _at(lines, number - 1) or not (_NAME.fullmatch(line) or _HAN_CUE.fullmatch(line)):
        return False
    after = _at(lines, number + 1) or _at(lines, number + 2)
    return _is_name(line) and not is_heading(line) and _is_speech(after)


def _at(lines: list[str], number: int) -> str:
    return lines[number] if 0 <= number < len(lines) else ""


def _is_bracket(line: str) -> bool:
    return line[:1] in ("(", "（") and line[-1:] in (")", "）")


def _is_speech(line: str) -> bool:
    return bool(line) and not _is_marked(line) and line[0] != "@"


def _is_marked(line: str) -> bool:
    return line[0] in "@!>~=#" or is_heading(line)


def _is_name(line: str) -> bool:
    name = _called(line)
    return bool(name) and name.casefold() not in _NOT_NAMES and name.split()[0].casefold() not in _NOT_NAMES


def _called(line: str) -> str:
    """The name in a cue, without what stands in brackets."""
    return re.sub(r"\s*[(（].*", "", line).strip()
