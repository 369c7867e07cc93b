"""Charts: points and bars stand where their numbers belong."""

import re
from xml.etree import ElementTree

import pytest

from recbole_genrec.report.charts import Series, Style, bar_chart, grid_picture, line_chart, ticks


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def scale(svg: ElementTree.Element) -> tuple[float, float]:
    """Pixel of 0 and pixels per unit on the y axis, read off the labels of the axis."""
    labels = [t for t in svg.iter("text") if t.get("class") == "end"]
    (low, y_low), *_, (high, y_high) = [(float(t.text), float(t.get("y"))) for t in labels]
    unit = (y_high - y_low) / (high - low)
    return y_low - low * unit - 4, unit  # labels stand 4 pixels below their rule


def test_line_goes_through_its_points():
    points = [(0, 0.21), (1, 0.45), (2, 0.37)]
    line = Series("A", points, Style.of(0), emphasis=1)
    svg = parse(line_chart([line], "x", "y"))
    zero, unit = scale(svg)
    (path,) = (p.get("d") for p in svg.iter("path") if p.get("class") == "line")
    drawn = [tuple(map(float, pair.split(","))) for pair in path[1:].split("L")]
    assert [y for _, y in drawn] == pytest.approx([zero + unit * y for _, y in points], abs=0.11)
    assert drawn[1][0] - drawn[0][0] == pytest.approx(drawn[2][0] - drawn[1][0], abs=0.11)
    titles = [title.text for title in svg.iter("title")]
    assert titles == ["A: 0.2100 at 0", "A: 0.4500 at 1", "A: 0.3700 at 2"]
    assert len([p for p in svg.iter("path") if p.get("class") == "best"]) == 1


def test_epochs_are_whole():
    svg = parse(line_chart([Series("A", [(0, 0.1), (1, 0.2)], Style.of(0))], "epoch", "y"))
    names = [text.text for text in svg.iter("text") if text.get("class") == "mid"]
    assert names == ["0", "1"]


def test_bars_are_as_high_as_their_values():
    series = [("A & B", [0.2, 0.4], Style.of(0)), ("C", [0.0, 0.1], Style.of(1))]
    svg = parse(bar_chart(["head", "tail"], series, "x", "y"))
    _, unit = scale(svg)
    bars = {rect.find("title").text: float(rect.get("height")) for rect in svg.iter("rect")}
    expected = {"A & B, head": 0.2, "A & B, tail": 0.4, "C, head": 0.0, "C, tail": 0.1}
    for name, value in expected.items():
        assert bars[f"{name}: {value:.4f}"] == pytest.approx(-unit * value, abs=0.11)


def test_long_curves_have_few_markers_and_always_the_best():
    points = [(epoch, epoch / 200) for epoch in range(200)]
    svg = parse(line_chart([Series("A", points, Style.of(0), emphasis=101)], "x", "y"))
    titles = [title.text for title in svg.iter("title")]
    assert len(titles) < 20 and "A: 0.5050 at 101" in titles


def test_chart_of_one_point_or_of_zeros():
    assert "NaN" not in line_chart([Series("A", [(3, 0.0)], Style.of(0))], "x", "y")
    assert line_chart([], "x", "y") == ""
    parse(bar_chart(["head"], [("A", [0.0], Style.of(0))], "x", "y"))


def test_codebook_picture_has_one_mark_per_code():
    svg = grid_picture([4, 0, 1, 0, 2], "level 1")
    assert re.findall(r"code (\d): (\d) items", svg) == [
        ("0", "4"),
        ("1", "0"),
        ("2", "1"),
        ("3", "0"),
        ("4", "2"),
    ]
    depth = [float(light) for light in re.findall(r"hsl\(205 \d+% (\d+)%\)", svg)]
    assert depth[0] < depth[2] < depth[1]  # 4 items are darker than 2, than 1


def test_styles_of_fourteen_models_differ():
    styles = [Style.of(number) for number in range(14)]
    assert len({(s.color, s.dash) for s in styles}) == 14
    assert len({s.color for s in styles[:7]}) == 7


@pytest.mark.parametrize("high", [1e-7, 0.0004, 0.07, 1, 3, 12345])
@pytest.mark.parametrize("low", [0, -0.5])
def test_ticks_are_few_round_and_enclose(low, high):
    found = ticks(low * high, high)
    assert found[0] <= low * high and found[-1] >= high * (1 - 1e-9)
    assert 3 <= len(found) <= 8
    assert all(a < b for a, b in zip(found, found[1:], strict=False))
