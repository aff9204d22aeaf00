"""Draw the integral operator as docs/images/operator.svg: `python docs/figures/draw_operator.py`.

The drawing carries its own background and follows the reader's colour scheme, so that it reads well on the site, on a
forge and in an editor.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parent.parent / "images/operator.svg"
WIDTH, HEIGHT = 760, 640

POINTS = [
    (70, 120, 9),
    (128, 84, 6),
    (214, 108, 12),
    (262, 182, 7),
    (86, 214, 11),
    (204, 256, 8),
    (288, 262, 5),
    (136, 282, 6),
]
"""Key points y_j: x, y and radius, whose area shows the weight w_j."""
QUERY = (168, 168)
SHOWN = 2  # the key point whose pair goes through the MLP

STYLE = """
text { fill: #1f2933; font: 17px system-ui, sans-serif; }
.title { font-weight: 600; } .small { font-size: 15px; fill: #52606d; }
.math { font-family: Georgia, 'Times New Roman', serif; font-style: italic; }
.card { fill: #ffffff; } .panel { fill: #f2f5f9; stroke: #cbd2d9; }
.key { fill: #3f7ae0; } .query { fill: #e8590c; } .pair { stroke: #e8590c; stroke-width: 2.5; }
.line { stroke: #9aa5b1; } .flow { stroke: #52606d; fill: none; stroke-width: 2; }
.tip { fill: #52606d; } .unit { fill: #ffffff; stroke: #52606d; }
.head0 { fill: #74b816; } .head1 { fill: #f2b705; } .head2 { fill: #b65fcf; }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7eb; } .small { fill: #b8c2cc; } .card { fill: #1b1f27; } .panel { fill: #262c36; stroke: #3e4c59; }
.key { fill: #6ea2ff; } .query { fill: #ff8a3d; } .pair { stroke: #ff8a3d; } .line { stroke: #616e7c; }
.flow { stroke: #b8c2cc; } .tip { fill: #b8c2cc; } .unit { fill: #1b1f27; stroke: #b8c2cc; }
}
"""


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    """Return a line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "line") -> str:
    """Return a straight line."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{kind}"/>'


def flow(path: str) -> str:
    """Return an arrow along an SVG path."""
    return f'<path d="{path}" class="flow" marker-end="url(#tip)"/>'


def panel(x: float, y: float, width: float, height: float, title: str) -> Iterator[str]:
    """Yield a box with a title."""
    yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" class="panel"/>'
    yield text(x + 14, y + 26, title, "title", "start")


def sub(letter: str, index: str) -> str:
    """Return a letter with a lower index."""
    return f'{letter}<tspan dy="5" font-size="12">{index}</tspan><tspan dy="-5">&#8203;</tspan>'


def field() -> Iterator[str]:
    """Yield the points of the field, and the pairs of one query point."""
    yield from panel(16, 16, 320, 320, "1  the field u at points")
    for number, (x, y, _) in enumerate(POINTS):
        yield line(*QUERY, x, y, "pair" if number == SHOWN else "line")
    for x, y, radius in POINTS:
        yield f'<circle cx="{x}" cy="{y}" r="{radius}" class="key"/>'
    x, y = QUERY
    yield f'<rect x="{x - 9}" y="{y - 9}" width="18" height="18" class="query" transform="rotate(45 {x} {y})"/>'
    yield text(x - 18, y + 26, "x", "math")
    x, y, radius = POINTS[SHOWN]
    yield text(x + radius + 6, y - 4, sub("y", "j"), "math", "start")
    yield text(176, 318, f"area of a point: its weight {sub('w', 'j')}", "small")


def network() -> Iterator[str]:
    """Yield the MLP on a pair."""
    yield from panel(376, 16, 368, 320, "2  the kernel: an MLP on a pair")
    inputs = ("ũ(x)", "ũ(y)", "ũ(x)⊙ũ(y)", "x - y", "‖x - y‖²", "cos, sin of B(x - y)")
    rows = [72 + 38 * number for number in range(len(inputs))]
    hidden = [86 + 54 * number for number in range(4)]
    heads = [112 + 54 * number for number in range(3)]
    for row, words in zip(rows, inputs, strict=True):
        yield text(528, row + 5, words.replace("-", "\N{MINUS SIGN}"), "math", "end")
        for unit in hidden:
            yield line(536, row, 604, unit)
    for unit in hidden:
        for head in heads:
            yield line(604, unit, 682, head)
        yield f'<circle cx="604" cy="{unit}" r="10" class="unit"/>'
    for number, head in enumerate(heads):
        yield f'<circle cx="682" cy="{head}" r="11" class="head{number}"/>'
        yield text(700, head + 6, sub("k", str(number + 1)), "math", "start")
    yield text(604, 312, "hidden", "small")
    yield text(690, 312, "heads", "small")


def total() -> Iterator[str]:
    """Yield the weighted sum for each head."""
    yield from panel(376, 380, 368, 244, "3  a weighted sum for each head")
    for number in range(3):
        y = 440 + 46 * number
        yield f'<circle cx="404" cy="{y}" r="11" class="head{number}"/>'
        head, y_j = str(number + 1), sub("y", "j")
        words = f"{sub('Σ', 'j')} {sub('w', 'j')} {sub('k', head)}(x, {y_j}) {sub('V', head)} u({y_j})"
        yield text(430, y + 6, words, "math", "start")
    yield text(392, 584, "with softmax, exp k takes the place of k", "small", "start")
    yield text(392, 606, "and the sum of its weights divides", "small", "start")


def output() -> Iterator[str]:
    """Yield the output maps and the result."""
    yield from panel(16, 380, 320, 244, "4  the output at x")
    for number in range(3):
        y = 440 + 46 * number
        yield f'<rect x="268" y="{y - 15}" width="46" height="30" rx="4" class="unit"/>'
        yield text(291, y + 6, sub("O", str(number + 1)), "math")
        yield flow(f"M268 {y}" + ("H242L221 469", "H228", "H242L221 503")[number])
        yield flow(f"M392 {y}H316")
    yield '<circle cx="204" cy="486" r="22" class="unit"/>'
    yield text(204, 493, "+")
    yield flow("M182 486H118")
    yield text(70, 492, "out(x)", "math")
    yield '<rect x="172" y="560" width="64" height="32" rx="4" class="unit"/>'
    yield text(204, 582, sub("W", "o"), "math")
    yield flow("M204 560V510")
    yield text(110, 582, "u(x)", "math")
    yield flow("M134 576H170")


def drawing() -> str:
    """Return the SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        "<title>The integral operator: points, the MLP on a pair, the weighted sum for each head, the output</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 10 5 0 10z" class="tip"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" class="card"/>',
        *field(),
        *network(),
        flow("M336 150H374"),
        flow("M560 336V378"),
        *total(),
        *output(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(drawing(), encoding="utf-8")
