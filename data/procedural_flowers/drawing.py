"""Paints a scene, whole or with parts taken out, together with the mask of its parts.

Everything is painted twice with the same outlines: in colour on one canvas, and as flat part
numbers without smoothing on another. A part that is taken out is skipped on both, so whatever it
hid appears. Shadows of petals fall on petals and centres only (`SrcATop` in a layer of their own):
nothing outside a bloom changes when the bloom goes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io

import numpy as np
import skia
from PIL import Image

from .scene import CENTRES, PETALS, Bloom, Scene

SIDE = 128  # pixels of the finished picture
OVER = 2  # painted this many times finer, then averaged
OTHER, GREEN, PETAL, CENTRE = range(4)
HIDDEN = {
    "nothing": frozenset(),
    "petals": frozenset({PETAL}),
    "centre": frozenset({CENTRE}),
    "flower": frozenset({PETAL, CENTRE}),
}
_LIGHTS = (
    (0.95, 0.90, 0.70),
    (0.90, 0.50, 0.60),
    (0.95, 0.75, 0.20),
    (0.80, 0.20, 0.20),
    (0.50, 0.65, 0.30),
    (0.60, 0.40, 0.70),
    (0.90, 0.95, 1.00),
)
_BUDS = (
    (0.55, 0.40, 0.75),
    (0.90, 0.85, 0.80),
    (0.85, 0.20, 0.25),
    (0.90, 0.70, 0.20),
    (0.90, 0.55, 0.65),
    (0.90, 0.50, 0.15),
)
_DIVERGENCE = 2.39996  # radians from one seed of a flower head to the next


@dataclasses.dataclass(frozen=True)
class Picture:
    """A painted scene.

    Attributes:
        image: uint8 (128, 128, 3), before compression.
        parts: uint8 (128, 128): 0 background, 1 stem and leaf, 2 petal, 3 centre.
        boxes: float32 (blooms in sight, 4): ymin, xmin, ymax, xmax of petals and centre, 0 to 1.
    """

    image: np.ndarray
    parts: np.ndarray
    boxes: np.ndarray


def _mix(a, b, share: float):
    """Mixes two colours, or pictures of colours."""
    return (1 - share) * np.asarray(a) + share * np.asarray(b)


def _lit(rgb, factor: float) -> tuple[float, float, float]:
    """Darkens a colour (factor below 1) or lightens it towards white (above 1)."""
    r, g, b = rgb
    if factor <= 1:
        return r * factor, g * factor, b * factor
    share = min(factor - 1, 1)
    return r + share * (1 - r), g + share * (1 - g), b + share * (0.97 - b)


def _colour(rgb, alpha: float = 1.0) -> skia.Color4f:
    """Makes a colour that skia takes."""
    r, g, b = (min(max(float(v), 0.0), 1.0) for v in rgb)
    return skia.Color4f(r, g, b, float(alpha))


def _gradient(start, end, *colours) -> skia.Shader:
    """Shades evenly from one point to another."""
    packed = [_colour(c).toColor() for c in colours]
    return skia.GradientShader.MakeLinear([skia.Point(*start), skia.Point(*end)], packed)


def _turn(radians: float, x: float = 0, y: float = 0) -> skia.Matrix:
    """Turns, then moves to (x, y)."""
    c, s = float(np.cos(radians)), float(np.sin(radians))
    return skia.Matrix.MakeAll(c, -s, x, s, c, y, 0, 0, 1)


class _Pen:
    """Draws each shape in colour on one canvas and as a part number on the other."""

    def __init__(self, canvas: skia.Canvas | None, parts: skia.Canvas, hidden: frozenset[int]):
        self.canvas, self.parts, self.hidden = canvas, parts, hidden
        self.part, self.bloom = OTHER, 0

    @contextlib.contextmanager
    def moved(self, matrix: skia.Matrix):
        """Draws inside with the matrix applied."""
        for canvas in filter(None, (self.canvas, self.parts)):
            canvas.save()
            canvas.concat(matrix)
        yield
        for canvas in filter(None, (self.canvas, self.parts)):
            canvas.restore()

    @contextlib.contextmanager
    def layer(self, blur: float = 0.0):
        """Draws inside on a sheet of its own, laid down with a blur (finished pixels)."""
        if self.canvas:
            paint = skia.Paint()
            if blur:
                paint.setImageFilter(skia.ImageFilters.Blur(blur / SIDE, blur / SIDE))
            self.canvas.saveLayer(None, paint)
        yield
        if self.canvas:
            self.canvas.restore()

    def fill(self, path: skia.Path, shader, stroke: float = 0.0):
        """Fills a path (or strokes it) with a shader or a colour, as the current part."""
        if self.part in self.hidden:
            return
        flower = self.bloom if self.part in (PETAL, CENTRE) else 0
        paint = skia.Paint(Color=skia.Color(self.part, flower, 0, 255))
        if stroke:
            paint.setStyle(skia.Paint.kStroke_Style)
            paint.setStrokeWidth(stroke)
        self.parts.drawPath(path, paint)
        if self.canvas:
            paint.setAntiAlias(True)
            if isinstance(shader, skia.Shader):
                paint.setShader(shader)
                paint.setAlphaf(1.0)
            else:
                paint.setColor4f(_colour(shader))
            self.canvas.drawPath(path, paint)

    def tint(self, path: skia.Path, rgb, alpha: float, blur: float = 0.0, stroke: float = 0.0):
        """Tints what is already on the sheet: shadows, veins, lights. Adds nothing to the mask."""
        if self.part in self.hidden or not self.canvas:
            return
        paint = skia.Paint(AntiAlias=True, Color4f=_colour(rgb, alpha))
        paint.setBlendMode(skia.BlendMode.kSrcATop)
        if blur:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        if stroke:
            paint.setStyle(skia.Paint.kStroke_Style)
            paint.setStrokeWidth(stroke)
            paint.setStrokeCap(skia.Paint.kRound_Cap)
        self.canvas.drawPath(path, paint)


def _petal_path(length, width, shape, base=0.15, bend=0.0) -> skia.Path:
    """Outlines a petal from (0, 0) along x; width is half the widest, base the share kept at 0."""
    n, w, b = length, width, bend * length
    path = skia.Path()
    path.moveTo(0, -base * w)
    if shape == "pointed":
        path.cubicTo(0.28 * n, -1.15 * w, 0.68 * n, -1.05 * w + 0.4 * b, n, b)
        path.cubicTo(0.68 * n, 1.05 * w + 0.4 * b, 0.28 * n, 1.15 * w, 0, base * w)
    else:
        edge = 0.9 * n
        path.cubicTo(0.25 * n, -0.95 * w, 0.62 * n, -1.2 * w + 0.4 * b, edge, -0.66 * w + 0.8 * b)
        if shape == "notched":
            path.quadTo(1.04 * n, -0.36 * w + b, 0.92 * n, b)
            path.quadTo(1.04 * n, 0.36 * w + b, edge, 0.66 * w + 0.8 * b)
        else:
            path.cubicTo(1.03 * n, -0.34 * w + b, 1.03 * n, 0.34 * w + b, edge, 0.66 * w + 0.8 * b)
        path.cubicTo(0.62 * n, 1.2 * w + 0.4 * b, 0.25 * n, 0.95 * w, 0, base * w)
    path.close()
    return path


def _line(*points) -> skia.Path:
    """A line, or with three points a bow, through control points."""
    path = skia.Path()
    path.moveTo(*points[0])
    if len(points) == 3:
        path.quadTo(*points[1], *points[2])
    else:
        path.lineTo(*points[1])
    return path


def _petal(
    pen,
    rng,
    scene,
    length,
    width,
    angle,
    light,
    lift=1.0,
    base=0.15,
    bend=0.0,
    at=(0, 0),
    shadow=0.38,
    edge=0.3,
    dark=0.0,
):
    """Draws one petal with its shadow, colour run, veins, fold and edge; plain when measured."""
    path = _petal_path(length, width, scene.petal_shape, base, bend)
    # A petal that leans towards the light is brighter; no two are quite the same.
    bright = lift * (1 + (0.1 + 0.14 * scene.sun) * np.cos(angle - light) + rng.normal(0, 0.05))
    tip, root = _lit(scene.petal_rgb, bright), _lit(scene.base_rgb, 0.92 * bright)
    side = 1.0 if np.sin(light - angle) > 0 else -1.0
    with pen.moved(_turn(angle, *at)):
        if not pen.canvas:
            pen.fill(path, tip)
            return
        pen.tint(path, (0.05, 0.02, 0.08), shadow, blur=0.07)
        pen.fill(
            path,
            _gradient(
                (dark * length, 0),
                (length, 0),
                _lit(root, 0.86 - 0.5 * dark),
                root,
                tip,
                _lit(tip, 1.08),
            ),
        )
        half = _petal_path(length, width, "pointed", base, bend)
        half.offset(0, -0.45 * side * width)
        pen.tint(half, (0.06, 0.0, 0.1), 0.08 + 0.1 * scene.sun, blur=0.25 * width)
        veins = skia.Path()
        for share in (-0.5, -0.2, 0.15, 0.45):
            veins.moveTo(0.1 * length, 0.3 * share * width)
            veins.quadTo(
                0.5 * length,
                1.25 * share * width + 0.3 * bend * length,
                0.9 * length,
                share * width + 0.7 * bend * length,
            )
        pen.tint(veins, _lit(root, 0.55), 0.17, stroke=0.014)
        pen.tint(path, _lit(tip, 1.45), edge, blur=0.012, stroke=0.025)


def _straps(pen, rng, scene, light, radius, draw_centre):
    """Petals of a dandelion: many narrow florets, layer on layer, the last over the centre."""
    for ring in range(7):
        if ring == 6:
            draw_centre()
        reach = 1.0 - 0.12 * ring if ring < 6 else radius + 0.2
        count = int(32 - 3 * ring + rng.integers(0, 5))
        start = rng.uniform(0, 2 * np.pi)
        for k in range(count):
            angle = start + 2 * np.pi * (k + rng.normal(0, 0.22)) / count
            length = reach * (1 + rng.normal(0, 0.06))
            # The last ring stands around the centre and reaches into it, unevenly.
            root = radius * rng.uniform(0.5, 1.0) if ring == 6 else 0.0
            path = _petal_path(
                length - root, rng.uniform(0.05, 0.075), scene.petal_shape, 0.6, rng.normal(0, 0.06)
            )
            bright = 0.72 + 0.07 * ring + 0.15 * np.cos(angle - light) + rng.normal(0, 0.1)
            tip = _lit(scene.petal_rgb, bright)
            low = _lit(_mix(scene.base_rgb, tip, 0.5), 0.5 + 0.05 * ring)
            with pen.moved(_turn(angle, root * np.cos(angle), root * np.sin(angle))):
                ends = (0.35 * (length - root), 0), (length - root, 0)
                pen.fill(path, _gradient(*ends, low, tip, _lit(tip, 1.16)))


def _rays(pen, rng, scene, light, radius, draw_centre):
    """Petals of daisies and sunflowers alike: one or two wreaths of rays."""
    count = int(rng.integers(11, 22))
    width = rng.uniform(0.85, 1.25) * np.pi / count * 0.72
    for wreath in range(int(rng.integers(1, 3)), 0, -1):
        start = rng.uniform(0, 2 * np.pi)
        for k in rng.permutation(count):
            angle = start + 2 * np.pi * (k + rng.normal(0, 0.1)) / count
            _petal(
                pen,
                rng,
                scene,
                (1.02 if wreath == 2 else 0.97) * (1 + rng.normal(0, 0.05)),
                width * (1 + rng.normal(0, 0.08)),
                angle,
                light,
                lift=0.86 if wreath == 2 else 1.0,
                bend=rng.normal(0, 0.05),
            )
    draw_centre()


def _whorl(pen, rng, scene, light, radius, draw_centre):
    """Petals of a rose: broad, overlapping, wound ever tighter, the last around the heart."""
    angle = rng.uniform(0, 2 * np.pi)
    count = int(rng.integers(17, 24))
    for k in range(count):
        inner = k / count
        reach = 1.0 - 0.6 * inner + rng.normal(0, 0.025)
        angle += _DIVERGENCE + rng.normal(0, 0.2)
        # The deeper in the heart, the less light comes in, the warmer the colour.
        _petal(
            pen,
            rng,
            scene,
            reach,
            (0.68 - 0.06 * inner) * reach,
            angle,
            light + np.pi * inner,
            lift=1.1 - 0.34 * inner,
            base=0.8,
            bend=rng.normal(0, 0.1),
            shadow=0.52,
            edge=0.38,
            dark=0.45,
        )
    draw_centre()
    for _ in range(5):
        angle += _DIVERGENCE + rng.normal(0, 0.2)
        reach = radius * rng.uniform(1.25, 1.4)
        thick = radius * rng.uniform(0.3, 0.65)
        path = skia.Path()
        span = rng.uniform(80, 125)
        start = np.degrees(angle) - span / 2
        path.addArc(skia.Rect(-reach, -reach, reach, reach), start, span)
        low = reach - thick
        path.arcTo(skia.Rect(-low, -low, low, low), start + span - 12, 24 - span, False)
        path.close()
        bright = 0.8 + 0.16 * np.cos(angle + np.pi - light)
        rgb = _lit(_mix(scene.petal_rgb, scene.base_rgb, 0.4), bright)
        pen.tint(path, (0.05, 0.02, 0.05), 0.55, blur=0.05)
        tones = [_colour(_lit(rgb, f)).toColor() for f in (0.66, 1.12)]
        centre = skia.Point(0, 0)
        shader = skia.GradientShader.MakeTwoPointConical(centre, low, centre, reach, tones)
        pen.fill(path, shader)
        pen.tint(path, _lit(rgb, 1.35), 0.5, blur=0.01, stroke=0.03)


def _cup(pen, rng, scene, light, radius, draw_centre):
    """Petals of a tulip seen from the side: three behind, the stamens, three in front."""
    spread = rng.uniform(0.7, 1.25)
    foot = (0.0, 0.95)
    up = -np.pi / 2
    order = rng.permutation([-0.42, 0.42])
    for lean in (*order, 0.0):
        length = 1.92 + rng.normal(0, 0.05)
        angle = up + 0.85 * spread * lean
        _petal(pen, rng, scene, length, 0.62, angle, light, lift=0.74, base=0.3, at=foot)
    draw_centre()
    for lean in (*order * 1.3, rng.normal(0, 0.08)):
        middle = abs(lean) < 0.3
        length, width = (0.9, 0.56) if middle else (1.36, 0.42)
        bend = 0.0 if middle else -0.1 * np.sign(lean)
        length += rng.normal(0, 0.04)
        angle = up + spread * lean
        _petal(pen, rng, scene, length, width, angle, light, base=0.3, bend=bend, at=foot)


def _dots(pen, radius, count, inner, outer, size, colours, alpha):
    """Lays dots on the spiral of a flower head, between two shares of the radius."""
    for k in range(count):
        share = inner + (outer - inner) * np.sqrt((k + 0.5) / count)
        x, y = radius * share * np.cos(k * _DIVERGENCE), radius * share * np.sin(k * _DIVERGENCE)
        dot = skia.Path.Circle(float(x), float(y), float(size * radius))
        pen.tint(dot, colours[k % len(colours)], alpha)


def _dome(pen, rng, scene, radius, light):
    """Centre of dandelion and daisy: a cushion, bright where it faces the light."""
    rgb = scene.centre_rgb
    disc = skia.Path.Circle(0, 0, radius)
    x, y = 0.35 * radius * np.cos(light), 0.35 * radius * np.sin(light)
    packed = [_colour(_lit(rgb, f)).toColor() for f in (1.42, 1.12, 0.86, 0.5)]
    pen.fill(disc, skia.GradientShader.MakeRadial(skia.Point(x, y), 1.3 * radius, packed))
    _dots(pen, radius, 60, 0.0, 0.95, 0.07, (_lit(rgb, 0.62), _lit(rgb, 1.35)), 0.5)
    pen.tint(skia.Path.Circle(x, y, 0.4 * radius), (1, 1, 0.9), 0.3, blur=0.25 * radius)


def _seeds(pen, rng, scene, radius, light):
    """Centre of a sunflower: a dark ring of seeds, a pale heart, a bright fringe."""
    rgb = scene.centre_rgb
    pen.fill(skia.Path.Circle(0, 0, radius), _lit(rgb, 0.8))
    pen.tint(skia.Path.Circle(0, 0, 0.8 * radius), _lit(rgb, 0.26), 0.95, blur=0.06 * radius)
    _dots(pen, radius, 44, 0.86, 0.98, 0.085, (_lit(rgb, 1.25), _lit(rgb, 0.6)), 0.85)
    _dots(pen, radius, 90, 0.4, 0.82, 0.055, (_lit(rgb, 0.12), _lit(rgb, 0.75)), 0.75)
    pen.tint(
        skia.Path.Circle(0, 0, 0.36 * radius),
        _mix(rgb, (0.72, 0.74, 0.42), 0.6),
        0.9,
        blur=0.06 * radius,
    )
    _dots(pen, radius, 16, 0.0, 0.34, 0.06, (_lit(rgb, 0.5),), 0.5)


def _stamens(pen, rng, scene, radius, light):
    """Centre of tulip and rose: a ring of anthers on threads around a pale pistil."""
    rgb = scene.centre_rgb
    pen.fill(skia.Path.Circle(0, 0, radius), _lit(_mix(rgb, scene.base_rgb, 0.35), 0.5))
    count = int(rng.integers(6, 11))
    for k in range(count):
        angle = 2 * np.pi * (k + rng.normal(0, 0.12)) / count
        reach = radius * rng.uniform(0.62, 0.84)
        x, y = float(reach * np.cos(angle)), float(reach * np.sin(angle))
        pen.tint(_line((0, 0), (x, y)), _lit(rgb, 1.4), 0.8, stroke=0.08 * radius)
        pen.tint(skia.Path.Circle(x, y, 0.17 * radius), _lit(rgb, 1.1), 1.0)
        pen.tint(skia.Path.Circle(x, y, 0.08 * radius), _lit(rgb, 1.5), 0.8)
    for k in range(3):
        x, y = 0.14 * radius * np.cos(k * 2.1), 0.14 * radius * np.sin(k * 2.1)
        pen.tint(skia.Path.Circle(x, y, 0.17 * radius), _mix(rgb, (0.85, 0.9, 0.6), 0.7), 1.0)


_CENTRES = {"dome": _dome, "seeds": _seeds, "stamens": _stamens}


def _draw_bloom(pen, scene: Scene, bloom: Bloom, centre_radius: float):
    """Draws petals and centre around (0, 0), about one unit in radius."""
    light = scene.light - bloom.angle
    petals, heart = (np.random.default_rng([bloom.seed, k]) for k in range(2))

    def draw_centre():
        pen.part = CENTRE
        # A cup is seen from the side: its centre sits a little higher, foreshortened.
        squeeze, y = (0.75, -0.04) if PETALS[scene.species] == "cup" else (1.0, 0.0)
        with pen.moved(skia.Matrix.MakeAll(1, 0, 0, 0, squeeze, y, 0, 0, 1)):
            pen.tint(
                skia.Path.Circle(0, 0, 1.16 * centre_radius), (0.05, 0.02, 0.03), 0.4, blur=0.09
            )
            _CENTRES[CENTRES[scene.species]](pen, heart, scene, centre_radius, light)
        pen.part = PETAL

    pen.part = PETAL
    draw = {"straps": _straps, "rays": _rays, "cup": _cup, "whorl": _whorl}
    draw[PETALS[scene.species]](pen, petals, scene, light, centre_radius, draw_centre)
    away = light + np.pi
    far_side = skia.Path.Circle(0.9 * np.cos(away), 0.9 * np.sin(away), 0.75)
    pen.tint(far_side, (0.1, 0.03, 0.08), 0.12 + 0.3 * scene.sun, blur=0.4)


def _stance(scene: Scene, bloom: Bloom) -> skia.Matrix:
    """Turn, tilt and perspective of a bloom, in its own units."""
    matrix = _turn(bloom.angle)
    if PETALS[scene.species] == "cup":
        return matrix
    matrix.preConcat(_turn(bloom.tilt_axis))
    matrix.preConcat(
        skia.Matrix.MakeAll(
            1, 0, 0, 0, float(np.cos(bloom.tilt)), 0, 0, 0.22 * float(np.sin(bloom.tilt)), 1
        )
    )
    matrix.preConcat(_turn(-bloom.tilt_axis))
    return matrix


@functools.lru_cache(maxsize=64)
def _fit(scene: Scene, bloom: Bloom) -> tuple[float, float, float, float]:
    """Measures a bloom and finds what gives it its size.

    The areas of whole bloom and centre are set after measuring them, so that no species has larger
    parts than another.

    Returns:
        Scale (share of the side for one unit), radius of the centre in units, and the middle of
        the bloom (x, y) in units.
    """
    side, unit = 112, 34.0
    radius = float(np.sqrt(scene.centre_size) * 0.8)
    for _ in range(3):
        surface = skia.Surface(side, side)
        surface.getCanvas().clear(skia.ColorBLACK)
        pen = _Pen(None, surface.getCanvas(), frozenset())
        middle = skia.Matrix.MakeAll(unit, 0, side / 2, 0, unit, side / 2, 0, 0, 1)
        with pen.moved(middle), pen.moved(_stance(scene, bloom)):
            _draw_bloom(pen, scene, bloom, radius)
        parts = _numbers(surface)[..., 0]
        whole = (parts > 0).sum() / unit**2
        centre = max((parts == CENTRE).sum() / unit**2, 1e-3)
        radius = float(np.clip(radius * np.sqrt(scene.centre_size * whole / centre), 0.1, 0.75))
    # Between the middle of the bloom and the middle of its centre, so that neither gives the
    # species away by its place.
    flower, heart = (np.argwhere(area).mean(0) for area in (parts > 0, parts == CENTRE))
    y, x = (0.25 * flower + 0.75 * heart - side / 2) / unit
    scale = bloom.size / np.sqrt(4 * whole / np.pi)
    return float(scale), radius, float(x), float(y)


def _numbers(surface: skia.Surface) -> np.ndarray:
    """Reads part and bloom numbers, uint8 (side, side, 2)."""
    return surface.toarray(colorType=skia.kRGBA_8888_ColorType)[..., :2]


def _leaf(pen, rng, x, y, angle, length, rgb, light):
    """Draws a leaf with midrib and a darker half."""
    width = length * rng.uniform(0.13, 0.26)
    path = _petal_path(length, width, "pointed", 0.1, rng.normal(0, 0.12))
    with pen.moved(_turn(angle, x, y)):
        bright = 1 + 0.2 * np.cos(angle - light)
        pen.fill(path, _gradient((0, 0), (length, 0), _lit(rgb, 0.7 * bright), _lit(rgb, bright)))
        half = skia.Path(path)
        half.offset(0, -0.6 * width)
        pen.tint(half, (0.02, 0.08, 0.02), 0.28, blur=0.1 * width)
        pen.tint(_line((0, 0), (0.9 * length, 0)), _lit(rgb, 1.35), 0.5, stroke=0.07 * width)
        for k in range(1, 6):
            for s in (-1, 1):
                start = (0.15 * k * length, 0)
                end = ((0.15 * k + 0.14) * length, s * 0.75 * width)
                pen.tint(_line(start, end), _lit(rgb, 1.3), 0.25, stroke=0.04 * width)


def _stem(pen, scene: Scene, bloom: Bloom):
    """Draws stem and leaves of one bloom, down to below the frame."""
    rng = np.random.default_rng([bloom.seed, 2])
    rgb = _mix((0.24, 0.42, 0.13), (0.42, 0.55, 0.22), rng.random())
    lean = bloom.angle
    foot = bloom.x + rng.normal(0, 0.08) - 0.25 * np.sin(lean)
    bow = (bloom.x - 0.35 * np.sin(lean), bloom.y + 0.35 * np.cos(lean))
    ends = ((bloom.x, bloom.y), bow, (foot, 1.2))
    width = 0.012 + 0.045 * bloom.size
    pen.part = GREEN
    shade = _gradient((bloom.x - width, 0), (bloom.x + width, 0), _lit(rgb, 1.2), _lit(rgb, 0.65))
    pen.fill(_line(*ends), shade, stroke=width)
    for _ in range(int(rng.integers(1, 4))):
        t = rng.uniform(0.3, 0.95)
        x, y = (
            (1 - t) ** 2 * np.array(ends[0])
            + 2 * t * (1 - t) * np.array(ends[1])
            + t * t * np.array(ends[2])
        )
        angle = -np.pi / 2 + rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
        _leaf(
            pen,
            rng,
            float(x),
            float(y),
            angle,
            (0.3 + 0.7 * bloom.size) * rng.uniform(0.3, 0.6),
            _lit(rgb, rng.uniform(0.8, 1.15)),
            scene.light,
        )


def _clouds(rng, cells: int, octaves: int = 4) -> np.ndarray:
    """Smooth noise around 0 with deviation 1, float (256, 256)."""
    side = SIDE * OVER
    total = np.zeros((side, side))
    for k in range(octaves):
        count = cells * 2**k
        grid = Image.fromarray(rng.normal(size=(count + 3,) * 2).astype(np.float32))
        # A margin of one cell, which the interpolation needs, is cut off.
        box = (1, 1, count + 1, count + 1)
        wide = grid.resize((side, side), Image.Resampling.BICUBIC, box=box)
        total += np.asarray(wide) / 1.8**k
    return (total - total.mean()) / total.std()


def _blades(pen, rng, count, rgb, reach, foot=1.05, width=0.012):
    """Draws grass that grows from the bottom."""
    for _ in range(count):
        x, high = rng.uniform(-0.1, 1.1), reach * rng.uniform(0.5, 1.1)
        lean = rng.normal(0, 0.25) * high
        path = skia.Path()
        path.moveTo(x - width, foot)
        path.quadTo(x + 0.1 * lean, foot - 0.6 * high, x + lean, foot - high)
        path.quadTo(x + width + 0.1 * lean, foot - 0.6 * high, x + width, foot)
        tone = _lit(rgb, rng.uniform(0.6, 1.25))
        pen.fill(path, _gradient((x, foot), (x + lean, foot - high), _lit(tone, 0.5), tone))


def _ground(scene: Scene, rng) -> np.ndarray:
    """Colour of the background before anything grows on it, float (256, 256, 3)."""
    side = SIDE * OVER
    down = np.linspace(0, 1, side)[:, None, None]
    noise = _clouds(rng, int(rng.integers(2, 5)))[..., None]
    fine = _clouds(rng, 24, 3)[..., None]
    if scene.background == "meadow":
        far, near = _mix((0.45, 0.58, 0.25), (0.72, 0.75, 0.42), rng.random()), (0.16, 0.28, 0.08)
        return _mix(far, near, down) * (1 + 0.16 * noise + 0.08 * fine)
    if scene.background == "sky":
        top = _mix((0.16, 0.38, 0.75), (0.50, 0.68, 0.88), rng.random())
        sky = _mix(top, _lit(top, 1.6), down**1.3)
        cloud = np.clip(noise - rng.uniform(-0.3, 1.6), 0, 1) * 0.85
        return sky * (1 - cloud) + cloud * (0.96, 0.96, 0.97)
    if scene.background == "soil":
        earth = _mix((0.34, 0.24, 0.16), (0.55, 0.42, 0.30), rng.random())
        return earth * (1 + 0.16 * noise + 0.15 * fine) * (0.85 + 0.25 * down)
    if scene.background == "bokeh":
        tints = (
            (0.05, 0.08, 0.05),
            (0.12, 0.22, 0.10),
            (0.30, 0.36, 0.20),
            (0.20, 0.14, 0.22),
            (0.55, 0.55, 0.45),
            (0.35, 0.25, 0.15),
        )
        a, b = rng.choice(len(tints), 2, replace=False)
        return _mix(tints[a], tints[b], np.clip(0.5 + 0.35 * noise, 0, 1))
    plaster = (
        (0.80, 0.77, 0.70),
        (0.62, 0.40, 0.33),
        (0.55, 0.57, 0.60),
        (0.75, 0.62, 0.42),
        (0.86, 0.86, 0.85),
        (0.40, 0.48, 0.55),
    )
    return np.array(plaster[rng.integers(len(plaster))]) * (1 + 0.05 * noise + 0.05 * fine)


def _backdrop(pen, scene: Scene):
    """Paints the background with what stands or lies on it, and the small plants of no species."""
    rng = np.random.default_rng([scene.seed, 0])
    ground = np.clip(_ground(scene, rng), 0, 1)
    rgba = np.dstack([ground, np.ones(ground.shape[:2])]) * 255
    image = skia.Image.fromarray(rgba.astype(np.uint8), colorType=skia.kRGBA_8888_ColorType)
    pen.part = OTHER
    with pen.layer(blur=rng.uniform(0.3, 2.6)):
        pen.canvas.drawImageRect(image, skia.Rect(0, 0, 1, 1))
        if scene.background == "meadow":
            _blades(pen, rng, 70, (0.40, 0.55, 0.20), rng.uniform(0.4, 0.95))
        elif scene.background == "sky" and rng.random() < 0.6:
            _blades(pen, rng, 40, (0.30, 0.45, 0.18), rng.uniform(0.15, 0.45))
        elif scene.background == "soil":
            for _ in range(45):
                x, y, r = rng.random(), rng.random(), 0.008 + 0.02 * rng.random() ** 2
                stone = skia.Path.Oval(skia.Rect(x - r, y - 0.7 * r, x + r, y + 0.7 * r))
                tone = _lit((0.5, 0.42, 0.34), rng.uniform(0.5, 1.3))
                ends = (x, y - r), (x, y + r)
                pen.fill(stone, _gradient(*ends, _lit(tone, 1.15), _lit(tone, 0.4)))
        elif scene.background == "wall" and rng.random() < 0.6:
            high, long = rng.uniform(0.07, 0.13), rng.uniform(0.18, 0.32)
            for row in range(int(1 / high) + 1):
                for k in range(-1, int(1 / long) + 1):
                    x, y = (k + 0.5 * (row % 2)) * long, row * high
                    brick = skia.Path.Rect(
                        skia.Rect(x + 0.006, y + 0.006, x + long - 0.006, y + high - 0.006)
                    )
                    pen.tint(brick, (rng.choice([0.0, 1.0]),) * 3, rng.uniform(0.02, 0.14))
                    pen.tint(_line((x, y), (x + long, y)), (0.1, 0.08, 0.07), 0.35, stroke=0.01)
                    pen.tint(_line((x, y), (x, y + high)), (0.1, 0.08, 0.07), 0.3, stroke=0.008)
    if scene.background == "bokeh":
        # Unsharp lights in the colours of petals, so that a colour alone says little.
        for _ in range(int(rng.integers(5, 22))):
            x, y, r = rng.random(), rng.random(), rng.uniform(0.02, 0.11)
            tone = rng.choice(_LIGHTS)
            disc = skia.Path.Circle(x, y, r)
            pen.tint(disc, tone, rng.uniform(0.15, 0.5), blur=0.006)
            pen.tint(disc, _lit(tone, 1.3), 0.15, stroke=0.008)
    with pen.layer(blur=rng.uniform(0.3, 2.0)):
        for _ in range(scene.fillers):
            _filler(pen, rng, scene)


def _filler(pen, rng, scene: Scene):
    """Draws a small plant of no species: a leaf, an ear, a spike of buds or a berry twig."""
    x, y = rng.uniform(0, 1), rng.uniform(0.25, 1)
    rgb = _mix((0.28, 0.45, 0.15), (0.55, 0.58, 0.30), rng.random())
    kind = rng.integers(4)
    top = (x + rng.normal(0, 0.06), y - rng.uniform(0.1, 0.4))
    tone = rng.choice(_BUDS)
    if kind == 0:
        _leaf(pen, rng, x, y, rng.uniform(-np.pi, 0), rng.uniform(0.15, 0.4), rgb, scene.light)
        return
    pen.fill(_line((x, 1.1), (x, y), top), rgb, stroke=0.01)
    if kind == 1:
        rgb = tone = (0.72, 0.64, 0.38)
    for k in range(int(rng.integers(6, 16))):
        along = k / 15 * 0.22
        bx, by = top[0] + 0.018 * (-1) ** k * (kind != 3), top[1] + along
        r = rng.uniform(0.008, 0.016) * (1.4 if kind == 3 else 1)
        bud = skia.Path.Oval(skia.Rect(bx - r, by - 1.4 * r, bx + r, by + 1.4 * r))
        pen.fill(bud, _lit(tone, rng.uniform(0.6, 1.3)))


def _shade(scene: Scene) -> np.ndarray:
    """Light on the picture: sun from one side, dapples, darker corners; (128, 128, 3)."""
    rng = np.random.default_rng([scene.seed, 1])
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = 1 + 0.3 * scene.sun * (x * np.cos(scene.light) + y * np.sin(scene.light))
    coarse = _clouds(rng, 3, 3)[::OVER, ::OVER]
    dapple = 1 - scene.shade / (1 + np.exp(-4 * (coarse - 0.3)))
    corners = 1 - rng.uniform(0, 0.5) * (x**2 + y**2)
    # What the sun does not reach is lit by the sky: shade is not only darker but bluer.
    blue = 1 + 0.12 * (1 - dapple)[..., None] * np.array([-1, 0, 1.4])
    return (slope * dapple * corners)[..., None] * blue


def _camera(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Exposes, tints, veils and adds sensor noise: float (128, 128, 3) in 0..1 to uint8."""
    rng = np.random.default_rng([scene.seed, 2])
    white = 1 + 0.07 * scene.warmth * np.array([1, 0.1, -1.3])
    image = image * scene.exposure * white
    image = image * (1 - scene.haze) + 0.85 * scene.haze
    image = _mix(image.mean(-1, keepdims=True), image, scene.saturation)
    # A photograph's contrast: darks deeper, lights lighter.
    image = image + 0.07 * np.sin(2 * np.pi * (np.clip(image, 0, 1) - 0.5))
    # Lights roll off as film does instead of clipping.
    image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
    image = 255 * image + scene.noise * rng.normal(size=image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def render(scene: Scene, without: str = "nothing") -> Picture:
    """Paints a scene.

    Args:
        scene: What to paint.
        without: What to take out of every bloom: "nothing", "petals", "centre" or "flower".

    Returns:
        The picture. Two calls with the same scene share the light, the blur and the noise.
    """
    if without not in HIDDEN:
        raise ValueError(f"without is {without!r}; choose one of {', '.join(HIDDEN)}.")
    side = SIDE * OVER
    colour, numbers = skia.Surface(side, side), skia.Surface(side, side)
    pen = _Pen(colour.getCanvas(), numbers.getCanvas(), HIDDEN[without])
    pen.parts.clear(skia.ColorBLACK)
    with pen.moved(skia.Matrix.Scale(side, side)):
        _backdrop(pen, scene)
        for number, bloom in enumerate(scene.blooms, start=1):
            scale, radius, x, y = _fit(scene, bloom)
            with pen.layer(blur=bloom.blur):
                _stem(pen, scene, bloom)
                pen.bloom = number
                place = skia.Matrix.MakeAll(
                    scale, 0, bloom.x - scale * x, 0, scale, bloom.y - scale * y, 0, 0, 1
                )
                with pen.moved(place), pen.moved(_stance(scene, bloom)), pen.layer():
                    _draw_bloom(pen, scene, bloom, radius)
        rng = np.random.default_rng([scene.seed, 3])
        pen.part = OTHER
        with pen.layer(blur=0.6):
            _blades(pen, rng, 2 * scene.grasses, (0.36, 0.52, 0.18), 0.45, width=0.016)
    painted = colour.toarray(colorType=skia.kRGBA_8888_ColorType)[..., :3] / 255.0
    painted = painted.reshape(SIDE, OVER, SIDE, OVER, 3).mean((1, 3))
    parts, boxes = _resolve(_numbers(numbers))
    return Picture(_camera(scene, painted * _shade(scene)), parts, boxes)


def _resolve(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brings part numbers to the picture's size by majority and finds the box of each bloom."""
    votes = [
        (numbers[..., 0] == part).reshape(SIDE, OVER, SIDE, OVER).sum((1, 3)) for part in range(4)
    ]
    # Ties go to the part nearest the heart of the flower.
    parts = 3 - np.argmax(votes[::-1], axis=0).astype(np.uint8)
    boxes = []
    for number in range(1, int(numbers[..., 1].max()) + 1):
        ys, xs = np.nonzero(numbers[..., 1] == number)
        if len(ys):
            ends = (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
            boxes.append(np.array(ends) / len(numbers))
    return parts.astype(np.uint8), np.array(boxes, np.float32).reshape(-1, 4)


def compress(image: np.ndarray, quality: int) -> bytes:
    """Compresses a picture as a camera does: uint8 (H, W, 3) to JPEG bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
