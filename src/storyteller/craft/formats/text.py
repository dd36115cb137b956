"""Plain text and Markdown, in and out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from storyteller.corpus.clean import paragraphs
from storyteller.corpus.gutenberg import gutenberg_header, strip_gutenberg
from storyteller.corpus.story import Language
from storyteller.craft.book import Book, Part
from storyteller.craft.formats.emphasis import plain
from storyteller.craft.formats.markup import Block
from storyteller.craft.formats.outline import BREAK, chapter_title, chapters_of, is_break
from storyteller.craft.formats.plain import language_of, one_line, spaced_lines, text_lines, title_of

__all__ = ["read_markdown", "read_plain", "write_markdown", "write_plain"]

_CHAPTER_LINE = re.compile(
    r"(?:(?:CHAPTER|Chapter|BOOK|Book|PART|Part|STAVE|Stave|ACT|Act) "
    r"(?:[IVXLCDM]+|\d+|[A-Z][a-z]+(?:-[a-z]+)?|[A-Z]+(?:-[A-Z]+)?)"
    r"(?:\s*[.:—–-].{0,70})?|(?:PROLOGUE|Prologue|EPILOGUE|Epilogue)(?:[.:—–-].{0,70})?"
    r"|第[\d〇零一二三四五六七八九十百千两]+[回章节卷部][^，。]{0,40}|序章|楔子|尾声)"
)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r"={3,}|-{3,}")
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*(\w*)[ \t]*")
_EMPTY = "&nbsp;"  # Markdown's paragraph for an empty line
_SPECIAL = re.compile(r"#{1,6}[ \t]|`{3}|~{3}|>|<!--")


def read_plain(name: str, text: str) -> Book:
    """A text file: chapters where lines are called so, else one chapter of one scene."""
    header = gutenberg_header(text)
    text = strip_gutenberg(text)
    language = language_of(text, header.get("language"))
    blocks = []
    for line in _whole_lines(text, language):
        bare = line.strip("_* ")
        heading = len(bare) <= 80 and _CHAPTER_LINE.fullmatch(bare) is not None
        blocks.append(Block(bare, 1) if heading else Block("", rule=True) if is_break(line) else Block(line))
    title = header.get("title") or title_of(name)
    return Book(title, header.get("author") or "", language, parts=chapters_of(blocks))


def read_markdown(name: str, text: str) -> Book:
    """A Markdown file: headings make chapters and scenes, its front matter is kept."""
    meta, text = _front_matter(text)
    language = language_of(text[:20_000], str(meta.pop("language", meta.pop("lang", ""))))
    blocks = _markdown_blocks(text, language)
    title = one_line(str(meta.pop("title", "") or ""))
    first = next((block for block in blocks if block.text or block.rule), None)
    if first is not None and first.level:
        alone = sum(block.level == first.level for block in blocks) == 1
        if first.text == title or (alone and first.level == 1 and not title):
            title = title or first.text
            blocks.remove(first)
    author = one_line(str(meta.pop("author", "") or ""))
    book = Book(title or title_of(name), author, language, parts=chapters_of(blocks, scenes_from=3))
    for scene in book.scenes():
        if scene.text.startswith(_SCRIPT) and scene.text.count(_SCRIPT) == 1:
            scene.form = "screenplay"
        scene.text = scene.text.replace(_SCRIPT, "")
    form = meta.pop("form", None)
    if form in ("story", "chapter", "screenplay", "play", "dialogue", "lesson", "fable"):
        book.form = form
    if meta:
        book.extra["front_matter"] = meta
    return book


def write_markdown(book: Book) -> bytes:
    """The manuscript as Markdown; scenes of a screenplay stand in fenced blocks, so that they stay Fountain."""
    import yaml

    meta: dict[str, Any] = {"title": book.title, "author": book.author, "language": book.language, "form": book.form}
    meta |= book.extra.get("front_matter", {})
    kept = {key: value for key, value in meta.items() if value}
    head = yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, width=10_000)
    out = [f"---\n{head}---\n", f"# {one_line(book.title)}\n"]
    out += _markdown_parts(book, book.parts, 2)
    return "\n".join(out).encode()


def write_plain(book: Book) -> bytes:
    """The manuscript as plain text, without marks; an empty line between paragraphs."""
    out = [one_line(book.title), "", *([one_line(book.author), ""] if book.author else [])]
    for part in book.parts:
        first = True
        for inner in part.walk():
            if inner.kind == "chapter":
                out += ["", "", inner.title or "", ""] if inner.title else [""]
                first = True
            elif inner.kind == "scene":
                script = book.form_of(inner) == "screenplay"
                titled = inner.title and not script
                out += [one_line(inner.title), ""] if titled else [] if first or script else [BREAK, ""]
                first = False
                if script:
                    out += [inner.text, ""]
                else:
                    for line in spaced_lines(inner.text):
                        out += [plain(line), ""] if line else [""]
    return ("\n".join(out).strip() + "\n").encode()


_SCRIPT = "\0screenplay\n"  # marks a fenced screenplay among blocks; no text that was read holds "\0"


def _markdown_parts(book: Book, parts: list[Part], level: int) -> Iterator[str]:
    """The parts with their headings; an untitled chapter is numbered where there must be a heading."""
    first = True
    chapters = [part for part in parts if part.kind == "chapter"]
    for part in parts:
        if part.kind == "chapter":
            if part.title or len(chapters) > 1:
                title = one_line(part.title) or chapter_title(chapters.index(part) + 1, book.language)
                yield f"{'#' * min(level, 6)} {title}\n"
            yield from _markdown_parts(book, part.parts, level + 1)
            first = True
        elif part.kind == "scene":
            if part.title:
                yield f"{'#' * min(level, 6)} {one_line(part.title)}\n"
            elif not first:
                yield f"{BREAK}\n"
            first = False
            if book.form_of(part) == "screenplay":
                fence = "`" * max(3, 1 + max(map(len, re.findall("`+", part.text)), default=0))
                yield f"{fence}fountain\n{part.text}\n{fence}\n"
            else:
                yield from (f"{_escaped(line) if line else _EMPTY}\n" for line in spaced_lines(part.text))


def _escaped(line: str) -> str:
    """A line that Markdown would take for something else, with a backslash before it."""
    return f"\\{line}" if _SPECIAL.match(line) or is_break(line) or _unescaped(line) != line else line


def _unescaped(line: str) -> str:
    rest = line[1:]
    escaped = line[:1] == "\\" and (rest[:1] == "\\" or _SPECIAL.match(rest) or is_break(rest))
    return rest if escaped else line


def _whole_lines(text: str, language: Language) -> list[str]:
    """The paragraphs of a text whose lines may have been wrapped at a width."""
    stripped = "\n".join(line.strip() for line in text.split("\n"))
    return text_lines(paragraphs(stripped.strip("\n"), chinese=language == "zh"))


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    match = _FRONT.match(text[:100_000])
    if not match:
        return {}, text
    import yaml

    try:
        # Aliases of aliases are how few lines become gigabytes, and no front matter needs one.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(match.group(1) or "")):
            return {}, text
        loaded = yaml.safe_load(match.group(1) or "")
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text
    if not isinstance(loaded, dict):
        return {}, text
    return {str(key).lower(): _simple(value) for key, value in loaded.items()}, text[match.end() :]


def _simple(value: Any, depth: int = 0) -> Any:
    """A YAML value as JSON knows it: dates become text, deep nests too."""
    if isinstance(value, dict) and depth < 4:
        return {str(key): _simple(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list) and depth < 4:
        return [_simple(inner, depth + 1) for inner in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _markdown_blocks(text: str, language: Language) -> list[Block]:
    blocks: list[Block] = []
    prose: list[str] = []
    fence: tuple[str, str, list[str]] | None = None

    def flush() -> None:
        lines = _whole_lines("\n".join(prose), language)
        prose.clear()
        blocks.extend(Block(_unescaped(line)) for line in lines)

    for line in text.split("\n"):
        bare = line.strip()
        if fence is not None:
            mark, kind, held = fence
            if bare == mark:
                fence = None
                blocks.append(Block((_SCRIPT if kind == "fountain" else "") + "\n".join(held)))
            else:
                held.append(line.rstrip())
            continue
        opening = _FENCE.fullmatch(bare)
        heading = _HEADING.fullmatch(bare)
        if opening:
            flush()
            fence = (opening.group(1), opening.group(2).lower(), [])
        elif heading:
            flush()
            blocks.append(Block(_unescaped(heading.group(2)), len(heading.group(1))))
        elif _UNDERLINE.fullmatch(bare) and prose and prose[-1].strip() and not "".join(prose[-2:-1]).strip():
            title = prose.pop().strip()
            flush()
            blocks.append(Block(title, 1 if bare[0] == "=" else 2))
        elif is_break(bare) or bare == _EMPTY:
            flush()
            blocks.append(Block("", rule=bare != _EMPTY))
        else:
            prose.append(line.rstrip())
    flush()
    if fence is not None and fence[2]:
        blocks.append(Block("\n".join(fence[2])))
    return blocks
