"""Figures as a page and as a picture: medians of all rounds, beside the extremes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

__all__ = ["Figure", "Section", "draw", "page"]

mpl.use("Agg")


@dataclass(frozen=True, slots=True)
class Figure:
    """What the rounds gave for one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def text(self, digits: int) -> str:
        """The median, and the least and the most if they differ."""
        low, middle, high = (f"{value:,.{digits}f}" for value in (min(self.values), self.median, max(self.values)))
        return middle if low == high else f"{middle} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the page."""

    title: str
    words: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """As Markdown."""
        lines = [f"## {self.title}", "", self.words, "", f"| {' | '.join(self.columns)} |"]
        lines.append(f"|---|{'---:|' * (len(self.columns) - 1)}")
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([*lines, ""])


def page(machine: str, sections: Sequence[Section]) -> str:
    """The whole page."""
    head = f"# Figures\n\nPrinted by `make bench`, not by hand. {machine} Medians, least and most in brackets.\n"
    return "\n".join([head, *(section.text() for section in sections)])


def draw(path: Path, title: str, panels: Mapping[str, Mapping[str, Figure]]) -> None:
    """One row of bars for each panel: names, medians, whiskers from the least to the most."""
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(8, 1.0 + 1.5 * len(panels)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axis, (name, bars) in zip(axes, panels.items(), strict=True):
        names, found = list(bars)[::-1], list(bars.values())[::-1]
        middle = [one.median for one in found]
        spread = [[one.median - min(one.values) for one in found], [max(one.values) - one.median for one in found]]
        colours = ["#1f5fbf" if "pushledger" in one else "#9aa5b1" for one in names]
        axis.barh(names, middle, xerr=spread, color=colours, error_kw={"lw": 1, "ecolor": "#444"})
        axis.set_title(name, fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        for at, value in enumerate(middle):
            axis.annotate(f" {value:,.{0 if value >= 10 else 2}f}", (value, at), fontsize=8, va="bottom")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
