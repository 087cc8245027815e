"""What is in a picture: a scene is a plain description, drawn from a seeded generator.

Nothing is painted here. `drawing.render` paints a scene, whole or with parts taken out, and because
every random choice is either a field of the scene or comes from a seed stored in it, both paintings
share the light, the blur and the noise.

Lengths are shares of the picture's side (0 to 1, x to the right, y down) unless said otherwise.
"""

from __future__ import annotations

import dataclasses

import numpy as np

SPECIES = ("dandelion", "daisy", "tulips", "sunflowers", "roses")
PETAL_SHAPES = ("rounded", "pointed", "notched")
REMOVALS = ("nothing", "petals", "centre", "flower")  # the flower is petals and centre
SPLIT_SIZES = {"train": 3000, "validation": 500, "test": 1000, "interventions": 1000}
BACKGROUNDS = ("meadow", "sky", "soil", "bokeh", "wall")

PETAL_COLOURS = {
    "white": (0.95, 0.94, 0.91),
    "yellow": (0.97, 0.80, 0.10),
    "pink": (0.93, 0.50, 0.67),
    "red": (0.80, 0.09, 0.13),
    "orange": (0.96, 0.49, 0.10),
    "purple": (0.56, 0.29, 0.68),
}
CENTRE_COLOURS = {
    "yellow": (0.93, 0.73, 0.10),
    "ochre": (0.78, 0.50, 0.12),
    "brown": (0.50, 0.28, 0.12),
    "green": (0.58, 0.64, 0.22),
}

# How a species is put together. Daisies and sunflowers share their petals and are told apart by the
# centre alone; the other species by their petals, whose centres they share in pairs.
PETALS = {
    "dandelion": "straps",
    "daisy": "rays",
    "tulips": "cup",
    "sunflowers": "rays",
    "roses": "whorl",
}
CENTRES = {
    "dandelion": "dome",
    "daisy": "dome",
    "tulips": "stamens",
    "sunflowers": "seeds",
    "roses": "stamens",
}

# How often a species wears a colour, in the order of PETAL_COLOURS.
_RAY_COLOURS = (0.26, 0.28, 0.14, 0.09, 0.17, 0.06)
_COLOUR_ODDS = {
    "dandelion": (0.24, 0.36, 0.10, 0.06, 0.18, 0.06),
    "daisy": _RAY_COLOURS,
    "tulips": (0.15, 0.20, 0.20, 0.21, 0.14, 0.10),
    "sunflowers": _RAY_COLOURS,
    "roses": (0.20, 0.17, 0.26, 0.21, 0.10, 0.06),
}


@dataclasses.dataclass(frozen=True)
class Bloom:
    """One bloom and its stem.

    Attributes:
        x: Where its middle sits, share of the width.
        y: The same, share of the height.
        size: Diameter of the disc that has the area of its petals and centre.
        angle: Turn in the picture plane, radians.
        tilt: Angle between its axis and the line of sight, radians.
        tilt_axis: Direction it tilts to, radians.
        blur: Standard deviation of its defocus, pixels of the finished picture.
        seed: Seed of everything finer (petal by petal).
    """

    x: float
    y: float
    size: float
    angle: float
    tilt: float
    tilt_axis: float
    blur: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that a picture shows.

    Attributes:
        species: One of `SPECIES`, the same for every bloom.
        petal_shape: One of `PETAL_SHAPES`: the form of the tips.
        petal_colour: Name of a colour in `PETAL_COLOURS`.
        petal_rgb: That colour as drawn, 0 to 1.
        base_rgb: Colour the petals shade into at their base, 0 to 1.
        centre_colour: Name of a colour in `CENTRE_COLOURS`.
        centre_rgb: That colour as drawn, 0 to 1.
        centre_size: Area of the centre as a share of the bloom's area.
        background: One of `BACKGROUNDS`.
        spurious: Whether the background was tied to the species.
        blooms: From the farthest to the nearest.
        light: Direction the light comes from, radians.
        sun: 0 overcast, 1 hard sun.
        shade: Depth of the dappled shade, 0 to 1.
        warmth: White balance, -1 blue to 1 amber.
        exposure: Factor on the brightness.
        saturation: Strength of the colours, 1 as painted.
        haze: Share of pale light that veils the picture.
        noise: Standard deviation of the sensor noise, grey levels.
        jpeg_quality: Quality the camera compresses with, 0 to 100.
        grasses: Blades and leaves in front of the blooms.
        fillers: Small plants of no species behind the blooms.
        seed: Seed of background, fillers, shade and noise.
    """

    species: str
    petal_shape: str
    petal_colour: str
    petal_rgb: tuple[float, ...]
    base_rgb: tuple[float, ...]
    centre_colour: str
    centre_rgb: tuple[float, ...]
    centre_size: float
    background: str
    spurious: bool
    blooms: tuple[Bloom, ...]
    light: float
    sun: float
    shade: float
    warmth: float
    exposure: float
    saturation: float
    haze: float
    noise: float
    jpeg_quality: int
    grasses: int
    fillers: int
    seed: int


def possible_species(species: str, without: str = "nothing") -> np.ndarray:
    """Says which species a scene may still show once parts are taken out.

    Args:
        species: The species drawn.
        without: One of `REMOVALS`.

    Returns:
        uint8 (5,), 1 for every species that looks the same in what is left.
    """
    if species not in SPECIES:
        raise ValueError(f"species is {species!r}; choose one of {', '.join(SPECIES)}.")
    if without not in REMOVALS:
        raise ValueError(f"without is {without!r}; choose one of {', '.join(REMOVALS)}.")

    def left(name: str) -> tuple[str, ...]:
        petals = (PETALS[name],) if without in ("nothing", "centre") else ()
        return (*petals, CENTRES[name]) if without in ("nothing", "petals") else petals

    return np.array([left(name) == left(species) for name in SPECIES], np.uint8)


def _jitter(rng: np.random.Generator, rgb: tuple[float, ...], amount: float) -> tuple[float, ...]:
    """Moves a colour a little: one step common to the channels, one of each its own."""
    moved = np.array(rgb) * (1 + rng.normal(0, amount)) + rng.normal(0, amount / 2, 3)
    return tuple(float(v) for v in np.clip(moved, 0.02, 0.99).round(4))


def _place_blooms(rng: np.random.Generator) -> tuple[Bloom, ...]:
    """Places one to six blooms; none knows the species."""
    count = int(rng.choice(6, p=[0.34, 0.22, 0.17, 0.12, 0.08, 0.07])) + 1
    largest = rng.uniform(0.2, 0.80 if count < 4 else 0.52)
    sizes = [largest, *rng.uniform(0.15, max(0.2, 0.8 * largest), count - 1)]
    spots: list[np.ndarray] = []
    for size in sizes:
        margin = 0.1 + 0.18 * size
        tries = rng.uniform(margin, 1 - margin, (12, 2))
        # Of a dozen spots the one with most room, so that blooms overlap at times, not always.
        room = [
            min(
                (np.hypot(*(t - s)) - (size + z) / 2 for s, z in zip(spots, sizes, strict=False)),
                default=0,
            )
            for t in tries
        ]
        keep = rng.integers(12) if rng.random() < 0.2 else int(np.argmax(room))
        spots.append(tries[keep])
    near, defocus = rng.uniform(0.2, 0.9), rng.uniform(0.2, 1.6)
    facing = rng.uniform(0, 2 * np.pi)
    blooms = []
    for spot, size in zip(spots, sizes, strict=True):
        # The largest is nearest to focus; the others blur with their distance from it.
        away = abs(np.log(size / largest))
        blooms.append(
            Bloom(
                x=round(float(spot[0]), 4),
                y=round(float(spot[1]), 4),
                size=round(float(size), 4),
                angle=round(float(rng.normal(0, 0.55)), 4),
                tilt=round(float(rng.uniform(0, 0.95)), 4),
                tilt_axis=round(float(facing + rng.normal(0, 0.7)), 4),
                blur=round(float(min(1.6, near + defocus * away)), 4),
                seed=int(rng.integers(2**31)),
            )
        )
    return tuple(sorted(blooms, key=lambda b: b.size))


def sample_scene(rng: np.random.Generator, species: str, spurious: bool = False) -> Scene:
    """Draws one scene.

    Args:
        rng: Source of all chance.
        species: One of `SPECIES`.
        spurious: Tie the background to the species (meadow to dandelion, sky to daisy, ...), a
            shortcut that a good test of explanations has to catch.

    Returns:
        The scene; the same generator state gives the same scene.
    """
    if species not in SPECIES:
        raise ValueError(f"species is {species!r}; choose one of {', '.join(SPECIES)}.")
    petal_colour = str(rng.choice(list(PETAL_COLOURS), p=_COLOUR_ODDS[species]))
    centre_colour = str(rng.choice(list(CENTRE_COLOURS)))
    petal_rgb = _jitter(rng, PETAL_COLOURS[petal_colour], 0.05)
    darker = np.array(petal_rgb) * 0.62
    bases = [darker, PETAL_COLOURS["yellow"], (0.72, 0.78, 0.45), (0.5, 0.1, 0.3)]
    base = bases[int(rng.choice(4, p=[0.55, 0.2, 0.15, 0.1]))]
    base_rgb = tuple(float(v) for v in 0.55 * np.array(base) + 0.45 * np.array(petal_rgb))
    background = str(rng.choice(BACKGROUNDS))
    if spurious:
        background = BACKGROUNDS[SPECIES.index(species)]
    return Scene(
        species=species,
        petal_shape=str(rng.choice(PETAL_SHAPES)),
        petal_colour=petal_colour,
        petal_rgb=petal_rgb,
        base_rgb=base_rgb,
        centre_colour=centre_colour,
        centre_rgb=_jitter(rng, CENTRE_COLOURS[centre_colour], 0.06),
        centre_size=round(float(rng.uniform(0.08, 0.17)), 4),
        background=background,
        spurious=spurious,
        blooms=_place_blooms(rng),
        light=float(rng.uniform(-np.pi, 0)),
        sun=float(rng.uniform(0, 1)),
        shade=float(max(0, rng.uniform(-0.4, 0.6))),
        warmth=float(rng.normal(0, 0.4)),
        exposure=float(rng.uniform(0.92, 1.2)),
        saturation=float(rng.uniform(0.7, 1.05)),
        haze=float(max(0, rng.normal(0, 0.06))),
        noise=float(rng.uniform(0.8, 5.0)),
        jpeg_quality=int(rng.integers(81, 92)),
        grasses=int(rng.choice(5, p=[0.35, 0.25, 0.2, 0.12, 0.08])),
        fillers=int(rng.integers(0, 9)),
        seed=int(rng.integers(2**31)),
    )
