#!/usr/bin/env python3
"""Writes the pictures of the guide into docs/pictures/: `python3 scripts/pictures.py`. With `--check` it writes nothing, and
fails if a file there is not what it would write.

A picture is an SVG file, which the pages name. Documentation made by rustdoc has no files beside it, so src/guide.rs puts
a line before a page (`NAME.link`) that gives the name of the picture the SVG itself as its address.

The curves are computed in exact arithmetic from the rule of the bucket. That of watching is drawn by an example, and gets
only its line here: run this script after
`cargo run --release --features metrics --example watching -- --picture docs/pictures/watching.svg`. The picture of the README
needs no line: `cargo run --release --features client --example throttle_api -- --adaptive --svg docs/pictures/throttle_api.svg`.
"""

import sys
from base64 import b64encode
from fractions import Fraction
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs/pictures"
WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 50, 42
GREEN, RED, BLUE, ORANGE = "#2e8b57", "#d1495b", "#1f5fbf", "#e08a1e"
MS = 1_000_000  # Times are in nanoseconds.


def grants(rate, burst, end, calling):
    """The times at which a caller is granted that takes every permit, while `calling(time)`. `rate` is in permits a
    nanosecond. The bucket is looked at in steps of a millisecond."""
    times, level = [], Fraction(burst)
    for now in range(0, end + 1, MS):
        while calling(now) and level >= 1:
            level -= 1
            times.append(now)
        level = min(Fraction(burst), level + rate * MS)
    return times


def per_second(permits):
    return Fraction(permits, 1_000 * MS)


def at_most(permits, window, catch_up):
    """The rate of `Quota::at_most` with a burst of one: see its documentation."""
    return Fraction(permits, window + catch_up + 1)


class Panel:
    def __init__(self, title, y_label, x_most, y_most, y_step):
        self.x_most, self.y_most, self.legend = x_most, y_most, LEFT
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        self.parts = [f'<text x="{LEFT}" y="20" font-size="15" font-weight="bold" fill="#222">{title}</text>']
        for value in range(0, y_most + 1, y_step):
            y = self.y(value)
            self.parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#e4e4e4"/>')
            self.parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
        for tick in range(0, x_most + 1, 200 * MS):
            x = self.x(tick)
            self.parts.append(f'<path d="M{x:.1f} {bottom}v5" stroke="#555"/>')
            self.parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick / (1_000 * MS):.1f}</text>')
        self.parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#555"/>')
        self.parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">seconds</text>')
        middle = (TOP + bottom) / 2
        self.parts.append(f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">{y_label}</text>')

    def x(self, time):
        return LEFT + (WIDTH - LEFT - RIGHT) * time / self.x_most

    def y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * float(value) / self.y_most

    def note(self, time, value, text, anchor="start"):
        self.parts.append(f'<text x="{self.x(time):.1f}" y="{self.y(value):.1f}" text-anchor="{anchor}">{text}</text>')

    def explain(self, colour, text, dashes=""):
        self.parts.append(f'<path d="M{self.legend} 36h18" stroke="{colour}" stroke-width="2.5"{dashes}/>')
        self.parts.append(f'<text x="{self.legend + 23}" y="40">{text}</text>')
        self.legend += 40 + 6.6 * len(text)

    def steps(self, points, colour, text):
        """A curve that stays as it is until the next point."""
        self.explain(colour, text)
        (time, value), *rest = points
        path = f"M{self.x(time):.1f} {self.y(value):.1f}"
        for time, value in rest + [(self.x_most, points[-1][1])]:
            path += f"H{self.x(time):.1f}V{self.y(value):.1f}"
        self.parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def line(self, start, end, colour, text):
        dashes = ' stroke-dasharray="7 4"'
        self.explain(colour, text, dashes)
        (x1, y1), (x2, y2) = start, end
        path = f"M{self.x(x1):.1f} {self.y(y1):.1f}L{self.x(x2):.1f} {self.y(y2):.1f}"
        self.parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')


def page(panels):
    height = HEIGHT * len(panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12.5" fill="#444">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        lines += [f'<g transform="translate(0 {number * HEIGHT})">', *panel.parts, "</g>"]
    return "\n".join(lines + ["</svg>", ""])


def bursts():
    """What a caller gets that takes every permit except for a pause, and what is in the bucket."""
    end, pause = 1_500 * MS, range(301 * MS, 1_000 * MS)
    times = grants(per_second(10), 5, end, lambda now: now not in pause)
    admitted = Panel("10/s burst 5, and no calls from 0.3 s to 1.0 s", "permits admitted", end, 20, 5)
    admitted.steps([(0, 0)] + [(time, count) for count, time in enumerate(times, 1)], GREEN, "admitted")
    admitted.line((0, 5), (end, 20), BLUE, "the bound: burst + rate × time")
    admitted.note(20 * MS, 2, "5 at once, then one every 100 ms")
    admitted.note(1_020 * MS, 9, "5 at once again")
    level, points, taken = Fraction(5), [], iter(times + [end + 1])
    next_time = next(taken)
    for now in range(0, end + 1, MS):
        points.append((now, level))
        while next_time == now:
            level -= 1
            next_time = next(taken)
        points.append((now, level))
        level = min(Fraction(5), level + per_second(10) * MS)
    bucket = Panel("The bucket", "permits in the bucket", end, 6, 1)
    corners = [
        point for before, point, after in zip(points, points[1:], points[2:] + [(end, -1)])
        if (point[1] - before[1]) * (after[0] - point[0]) != (after[1] - point[1]) * (point[0] - before[0])
    ]
    bucket.explain(GREEN, "level")
    path = "M" + "L".join(f"{bucket.x(time):.1f} {bucket.y(value):.1f}" for time, value in [points[0], *corners, points[-1]])
    bucket.parts.append(f'<path d="{path}" fill="none" stroke="{GREEN}" stroke-width="2"/>')
    bucket.line((0, 5), (end, 5), BLUE, "the burst: what comes beyond is lost")
    return [admitted, bucket]


def windows():
    """How many calls a server finds in the last second, by quota."""
    end, second = 2_000 * MS, 1_000 * MS
    quotas = [
        ("10/s", per_second(10), 10, RED),
        ("10/s burst 3", per_second(10), 3, ORANGE),
        ("at most 10/s", at_most(10, second, 10 * MS), 1, GREEN),
    ]
    panel = Panel("What a server counts that allows 10 in any second", "calls in the last second", end, 20, 5)
    for text, rate, burst, colour in quotas:
        times = grants(rate, burst, end, lambda _: True)
        # A call counts until a second after it, that moment included.
        changes = sorted([(time, 1) for time in times] + [(time + second + 1, -1) for time in times])
        count, points = 0, [(0, 0)]
        for time, change in changes:
            count += change
            if time <= end:
                points.append((time, count))
        panel.steps(points, colour, f"{text}: up to {max(count for _, count in points)}")
    panel.line((0, 10), (end, 10), BLUE, "allowed")
    return [panel]


def main():
    check, faults = "--check" in sys.argv, []
    FOLDER.mkdir(exist_ok=True)
    drawn = {picture.__name__: page(picture()) for picture in (bursts, windows)}
    drawn["watching"] = (FOLDER / "watching.svg").read_text()
    for name, svg in drawn.items():
        address = "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()
        for path, text in ((FOLDER / f"{name}.svg", svg), (FOLDER / f"{name}.link", f"[picture-{name}]: {address}\n")):
            if not check:
                path.write_text(text)
            elif not path.exists() or path.read_text() != text:
                faults.append(f"{path.name} is not what scripts/pictures.py writes: run it")
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
