"""Plots of growth with both axes logarithmic, drawn with PIL: a slope of 1 is a line of 45 degrees."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unipose.processing.rendering import TEXT_COLOR


WIDTH, HEIGHT = 420, 340  # pixels of a plot
LEFT, RIGHT, TOP, BOTTOM = 64, 30, 44, 44
GRID_COLOR = (225, 228, 233)
COLORS = ((31, 105, 180), (214, 90, 30), (45, 140, 70), (140, 80, 170), (120, 120, 120))

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """One plot.

    Args:
        title: Above it.
        x_label: What the numbers are.
        curves: (number, value) points by name; both above 0.
    """

    title: str
    x_label: str
    curves: Mapping[str, Curve]


def fit_exponent(curve: Curve) -> float:
    """The slope of the logarithms, through the points of the upper half: what a large number does to the value."""
    upper = curve[-max(2, (len(curve) + 1) // 2) :]
    x, y = np.log(np.array(upper, dtype=np.float64)).T
    return float(np.polyfit(x, y, 1)[0])


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around values."""
    return math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)


def draw_plot(plot: Plot) -> Image.Image:
    """One plot, its curves named with their exponents."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=12)
    points = [point for curve in plot.curves.values() for point in curve]
    x_range, y_range = (decades([point[axis] for point in points]) for axis in (0, 1))
    ranges = [(low, max(high, low + 1)) for low, high in (x_range, y_range)]

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (
            (math.log10(value) - low) / (high - low) for value, (low, high) in zip((x, y), ranges, strict=True)
        )
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    for axis, (low, high) in enumerate(ranges):
        for power in range(low, high + 1):
            ends = [(10.0**power, 10.0 ** ranges[1][end]) for end in (0, 1)]
            if axis == 1:
                ends = [(10.0 ** ranges[0][end], 10.0**power) for end in (0, 1)]
            start, end = (place(*each) for each in ends)
            draw.line([start, end], fill=GRID_COLOR)
            text, at = f"{10.0**power:g}", (start[0], start[1] + 4) if axis == 0 else (start[0] - 6, start[1])
            draw.text(at, text, fill=TEXT_COLOR, font=font, anchor="mt" if axis == 0 else "rm")
    draw.text((WIDTH / 2, 10), plot.title, fill=TEXT_COLOR, font=ImageFont.load_default(size=14), anchor="mt")
    draw.text((WIDTH / 2, HEIGHT - 8), plot.x_label, fill=TEXT_COLOR, font=font, anchor="mb")
    for number, (name, curve) in enumerate(plot.curves.items()):
        color = COLORS[number % len(COLORS)]
        placed = [place(*point) for point in curve]
        draw.line(placed, fill=color, width=2)
        for x, y in placed:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
        draw.text((LEFT + 8, TOP + 4 + 15 * number), f"{name}: {fit_exponent(curve):.2f}", fill=color, font=font)
    return image


def draw_plots(plots: Sequence[Plot], columns: int = 2) -> Image.Image:
    """Plots in rows.

    Args:
        plots: The plots.
        columns: Plots of a row.
    """
    rows = math.ceil(len(plots) / columns)
    sheet = Image.new("RGB", (columns * WIDTH, rows * HEIGHT), "white")
    for number, plot in enumerate(plots):
        sheet.paste(draw_plot(plot), ((number % columns) * WIDTH, (number // columns) * HEIGHT))
    return sheet
