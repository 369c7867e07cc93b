"""Charts as inline SVG: plain markup without scripts, readable in print and by the color-blind.

Series are told apart by color (Okabe and Ito's palette), marker and dashes at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
MARKERS = (  # around (0, 0)
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
    "M-3.6,-3.6H3.6V3.6H-3.6Z",
    "M0,-4.8L4.4,3.4H-4.4Z",
    "M0,-5L4.2,0L0,5L-4.2,0Z",
    "M0,4.8L4.4,-3.4H-4.4Z",
)
GREY = "#555555"

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 14, 46


@dataclass(frozen=True)
class Style:
    """How a series looks; `of` gives the one of the model at a place of the comparison."""

    color: str
    marker: str
    dash: str

    @classmethod
    def of(cls, index: int) -> Style:
        color = COLORS[index % len(COLORS)]
        marker = MARKERS[index % len(MARKERS)]
        return cls(color, marker, DASHES[index // len(COLORS) % len(DASHES)])


def variant(style: Style, number: int) -> Style:
    """The style of a further series of the same model, in its color: other dashes and marker."""
    if number == 0:
        return style
    marker = MARKERS[(MARKERS.index(style.marker) + number) % len(MARKERS)]
    return Style(style.color, marker, DASHES[number % len(DASHES)])


TRUTH = Style(GREY, MARKERS[0], "3 3")


@dataclass
class Series:
    """Points (x, y) under a name; `emphasis` is the index of a point that is marked, if any."""

    name: str
    points: list[tuple[float, float]]
    style: Style
    emphasis: int | None = None


def line_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    x_names: Sequence[str] | None = None,
) -> str:
    """Lines over a number axis, or over the places 0, 1, ... that `x_names` names."""
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    y_ticks = ticks(min(0.0, *ys), max(ys))
    pad = 0.5 if x_names else 0.0
    x_low, x_high = min(xs) - pad, max(xs) + pad
    plot = _Plot(x_low, x_high if x_high > x_low else x_low + 1, y_ticks[0], y_ticks[-1])
    x_ticks: list[tuple[float, str]]
    if x_names:
        x_ticks = list(enumerate(x_names))
    else:
        whole = all(x == int(x) for x in xs)  # such as epochs: no ticks between them
        found = [tick for tick in ticks(x_low, x_high) if x_low <= tick <= x_high]
        x_ticks = [(tick, _number(tick)) for tick in found if not whole or tick == int(tick)]
    parts = [plot.axes(x_ticks, y_ticks, x_label, y_label)]
    parts += [_line(line, plot) for line in series]
    return _svg(f"{y_label} by {x_label}", parts)


def bar_chart(
    names: Sequence[str],
    series: Sequence[tuple[str, Sequence[float], Style]],
    x_label: str,
    y_label: str,
) -> str:
    """Groups of bars: for each of `names` one bar per series (name, values, style)."""
    highest = max((value for _, values, _ in series for value in values), default=0.0)
    y_ticks = ticks(0.0, highest)
    plot = _Plot(-0.5, len(names) - 0.5, 0.0, y_ticks[-1])
    parts = [plot.axes(list(enumerate(names)), y_ticks, x_label, y_label)]
    width = 0.8 / len(series)
    for number, (name, values, style) in enumerate(series):
        for group, value in enumerate(values):
            left = plot.x(group - 0.4 + number * width)
            right = plot.x(group - 0.4 + (number + 1) * width)
            top = plot.y(value)
            title = escape(f"{name}, {names[group]}: {value:.4f}")
            parts.append(
                f'<rect x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
                f'height="{plot.y(0) - top:.1f}" fill="{style.color}">'
                f"<title>{title}</title></rect>"
                f'<path d="{style.marker}" fill="{style.color}" '
                f'transform="translate({(left + right) / 2:.1f} {top - 7:.1f})"/>'
            )
    return _svg(f"{y_label} of {', '.join(names)}", parts)


def grid_picture(counts: Sequence[int], label: str) -> str:
    """One square per code, the darker the more items have it; codes that nobody has are crossed."""
    columns = math.ceil(math.sqrt(len(counts)))
    most, size = max(counts, default=0) or 1, 10
    squares = []
    for code, count in enumerate(counts):
        x, y = code % columns * size, code // columns * size
        title = f"<title>code {code}: {count} items</title>"
        if count:
            depth = math.sqrt(count / most)  # the eye sees areas of few items too
            fill = f"hsl(205 {45 + 45 * depth:.0f}% {90 - 68 * depth:.0f}%)"
            squares.append(
                f'<rect x="{x}" y="{y}" width="9" height="9" fill="{fill}">{title}</rect>'
            )
        else:
            squares.append(
                f'<path d="M{x + 2},{y + 2}l5,5m0,-5l-5,5" class="unused">{title}</path>'
            )
    rows = math.ceil(len(counts) / columns)
    return _svg(label, squares, columns * size, rows * size, "grid")


def legend_mark(style: Style) -> str:
    """The line and marker of a series, for the legend."""
    return (
        '<svg class="key" viewBox="0 0 34 12" aria-hidden="true">'
        f'<path d="M0,6H34" class="line" stroke="{style.color}" stroke-dasharray="{style.dash}"/>'
        f'<path d="{style.marker}" fill="{style.color}" transform="translate(17 6)"/></svg>'
    )


def ticks(low: float, high: float) -> list[float]:
    """About five round values that enclose the range.

    >>> ticks(0, 0.43)
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    """
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * 5 >= span)
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, digits) for n in range(first, max(last, first + 1) + 1)]


class _Plot:
    """Maps values to the picture; the plot area spans the given ranges."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self.x_low, self.x_high, self.y_low, self.y_high = x_low, x_high, y_low, y_high

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def axes(
        self,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[float],
        x_label: str,
        y_label: str,
    ) -> str:
        bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
        parts = []
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(f'<path class="rule" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="end">{_number(tick)}</text>')
        for value, name in x_ticks:
            x = self.x(value)
            parts.append(f'<path class="tick" d="M{x:.1f},{bottom}v4"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" class="mid">{escape(name)}</text>')
        parts.append(f'<path class="axis" d="M{LEFT},{bottom}H{WIDTH - RIGHT}"/>')
        across = (LEFT + WIDTH - RIGHT) / 2
        parts.append(
            f'<text x="{across}" y="{HEIGHT - 8}" class="mid label">{escape(x_label)}</text>'
        )
        parts.append(
            f'<text transform="translate(13 {middle}) rotate(-90)" class="mid label">'
            f"{escape(y_label)}</text>"
        )
        return "".join(parts)


def _line(line: Series, plot: _Plot) -> str:
    style = line.style
    places = [(plot.x(x), plot.y(y)) for x, y in line.points]
    path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        f'<path class="line" d="{path}" stroke="{style.color}" stroke-dasharray="{style.dash}"/>'
    ]
    few = max(1, len(places) // 12)  # markers on a long curve would hide it
    for number, ((x, y), (value_x, value_y)) in enumerate(zip(places, line.points, strict=True)):
        best = number == line.emphasis
        if best or number % few == 0:
            title = escape(f"{line.name}: {value_y:.4f} at {_number(value_x)}")
            scale = " scale(1.6)" if best else ""
            ring = ' class="best"' if best else ""
            parts.append(
                f'<path d="{style.marker}" fill="{style.color}"{ring} '
                f'transform="translate({x:.1f} {y:.1f}){scale}"><title>{title}</title></path>'
            )
    return f"<g>{''.join(parts)}</g>"


def _svg(
    label: str, parts: Sequence[str], width: int = WIDTH, height: int = HEIGHT, kind: str = "chart"
) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _number(value: float) -> str:
    return f"{value:.6g}"
