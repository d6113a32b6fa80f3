"""The pages of the repository as tests read them: blocks, commands, headings and links."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "Command", "Page", "anchor_of", "commands_of", "matches"]

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(.*)$")
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*", re.DOTALL)
_OPERATORS = {";", "&&", "||", "|", "&", "\n"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line on which it begins."""

    language: str
    text: str
    line: int
    heading: str


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command of a line: the variables set for it, and its words."""

    line: str
    environment: dict[str, str]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the repository."""

    path: Path

    @property
    def name(self) -> str:
        """Its path within the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """What it says."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[Block]:
        """Its fenced blocks in their order; all, or those of some languages."""
        return [block for block in _blocks(self.text) if not languages or block.language in languages]

    def prose(self) -> str:
        """What stands outside of the blocks, without code in the lines."""
        outside = re.sub(r"^```.*?^```$", "", self.text, flags=re.DOTALL | re.MULTILINE)
        return re.sub(r"`[^`\n]*`", "", outside)

    def headings(self, level: int | None = None) -> list[str]:
        """Its headings in their order, of one level or of all."""
        outside = re.sub(r"^```.*?^```$", "", self.text, flags=re.DOTALL | re.MULTILINE)
        found = re.findall(r"^(#+) (.*)$", outside, re.MULTILINE)
        return [title for marks, title in found if level in (None, len(marks))]

    def anchors(self) -> set[str]:
        """What a link to a part of this page may name."""
        seen: Counter[str] = Counter()
        found = set()
        for title in self.headings():
            anchor = anchor_of(title)
            found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return found

    def links(self) -> list[str]:
        """The targets of its links and pictures."""
        prose = self.prose()
        return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", prose)


def _blocks(text: str) -> Iterator[Block]:
    language, began, lines, heading = None, 0, list[str](), ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and language is None:
            language, began, lines = fence[1].strip(), number, []
        elif fence and language is not None:
            yield Block(language, "\n".join(lines) + "\n", began, heading)
            language = None
        elif language is not None:
            lines.append(line)
        elif title := re.match(r"## (.*)", line):
            heading = title[1]
    assert language is None, f"the block that begins on line {began} never ends"


def anchor_of(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)  # a link counts by its words
    kept = re.sub(r"[^\w\- ]", "", shown.lower().replace("`", ""))
    return kept.replace(" ", "-")


def commands_of(text: str) -> list[Command]:
    """The simple commands of a block of shell, in their order; comments are left out."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        reader.whitespace_split = True
        reader.commenters = "#" if re.search(r"(^|\s)#", line) else ""
        words: list[str] = []
        for word in [*reader, "\n"]:
            if word not in _OPERATORS:
                words.append(word)
            elif words:
                found.append(_command(line, words))
                words = []
    return found


def _command(line: str, words: list[str]) -> Command:
    environment = {}
    rest = list(words)
    while rest and _ASSIGNMENT.fullmatch(rest[0]):
        name, _, value = rest.pop(0).partition("=")
        environment[name] = value
    return Command(line.strip(), environment, tuple(rest))


def matches(quoted: str, printed: str) -> bool:
    """Whether lines of output hold the quoted lines, in their order; ``…`` stands for anything, runs of spaces for one.

    Lines between the quoted ones may be left out: a page shows what matters.
    """
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in quoted.splitlines():
        wanted = re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))
        if not any(wanted.fullmatch(candidate) for candidate in lines):
            return False
    return True


PAGES = [
    Page(path)
    for path in (
        *sorted(path for path in ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
]
