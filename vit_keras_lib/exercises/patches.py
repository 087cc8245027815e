"""The exercises of notebook 02_patches: right answers, known mistakes and checks."""

from collections.abc import Callable, Mapping

import numpy as np

from vit_keras_lib.exercises.ladder import Case, Diagnosis, Exercise, Mistake, diagnose, verdict

_RNG = np.random.default_rng(0)

# --- 1. Where patch n lies --------------------------------------------------------------------


def patch_corner(number: int, image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Returns where a patch begins.

    Args:
        number: n, 0 for the first patch; numbered row by row.
        image_size: (H, W) in pixels, multiples of P.
        patch_size: P in pixels.

    Returns:
        (row, column) of the patch's first pixel.
    """
    row, column = divmod(number, image_size[1] // patch_size)
    return row * patch_size, column * patch_size


def _scaled(pair, factor):
    return pair[0] * factor, pair[1] * factor


def _grid(size, P):
    return size[0] // P, size[1] // P


def _corner_by_columns(n, size, P):
    column, row = divmod(n, size[0] // P)
    return row * P, column * P


def _corner_on_a_square(n, size, P):
    rows, columns = _grid(size, P)
    return _scaled(divmod(n, int((rows * columns) ** 0.5)), P)


def _corner_is_inside(corner, _, size, P):
    return all(0 <= at <= side - P for at, side in zip(corner, size, strict=True))


def _corner_cases(*rows):
    return [
        Case(f"patch {n} of {h} x {w} pixels with P = {p}", (n, (h, w), p)) for n, h, w, p in rows
    ]


PATCH_CORNER = Exercise(
    patch_corner,
    hand_sized=_corner_cases(
        (4, 4, 6, 2), (2, 4, 6, 2), (0, 4, 6, 2), (3, 6, 4, 2), (5, 6, 4, 2), (4, 3, 2, 1)
    ),
    random=_corner_cases(
        *(
            (int(_RNG.integers(rows * columns)), rows * p, columns * p, p)
            for rows, columns, p in ((3, 8, 16), (7, 2, 14), (5, 9, 3), (12, 4, 8), (6, 6, 16))
        )
    ),
    invariants={
        "the patch lies inside the image": _corner_is_inside,
        "patches begin at multiples of P": lambda c, n, size, P: c[0] % P == c[1] % P == 0,
    },
    mistakes=[
        Mistake(
            "Row and column swapped",
            "The row comes first, as in image[row, column].",
            lambda *a: patch_corner(*a)[::-1],
        ),
        Mistake(
            "Numbered down the columns",
            "Patch 1 lies to the right of patch 0, not below it.",
            _corner_by_columns,
        ),
        Mistake(
            "Divided by the number of rows",
            "Ask how many patches there are before the next row begins.",
            lambda n, size, P: _scaled(divmod(n, size[0] // P), P),
        ),
        Mistake(
            "A square grid",
            "The root of the number of patches is a side only where both sides are equal.",
            _corner_on_a_square,
        ),
        Mistake(
            "Divided by the width",
            "The width counts pixels, the number counts patches.",
            lambda n, size, P: _scaled(divmod(n, size[1]), P),
        ),
        Mistake(
            "Counted in patches",
            "That is the place on the grid; the corner is asked for in pixels.",
            lambda n, size, P: divmod(n, size[1] // P),
        ),
        Mistake(
            "Pixels in reading order",
            "A patch is a square: its pixels do not follow each other in the photo.",
            lambda n, size, P: divmod(n * P * P, size[1]),
        ),
        Mistake(
            "Counted from 1",
            "The first patch has the number 0.",
            lambda n, *a: patch_corner(n - 1, *a),
        ),
        Mistake(
            "The middle of the patch",
            "Half a patch too far: the first pixel is asked for.",
            lambda n, size, P: tuple(at + P // 2 for at in patch_corner(n, size, P)),
        ),
        Mistake(
            "Floats",
            "A slice such as image[row:] takes whole numbers; / makes floats.",
            lambda *a: _scaled(patch_corner(*a), 1.0),
            sign=lambda answer: np.asarray(answer(4, (4, 6), 2)).dtype.kind == "f",
        ),
    ],
    insight="the height is not needed. Pictures of one width share their numbering; with another\n"
    "width nearly every number moves to another place.",
)

# --- 2. Cut -----------------------------------------------------------------------------------


def cut(image: np.ndarray, patch_size: int) -> np.ndarray:
    """Cuts an image into patches.

    Args:
        image: (H, W, C), any dtype; H and W are multiples of P.
        patch_size: P in pixels.

    Returns:
        (N, P * P * C) of the same dtype, numbered row by row.
    """
    return _cut_by(image, patch_size, (0, 2, 1, 3, 4))


def _cut_by(image, P, axes):
    """Cuts (H, W, C) with some transpose of (rows, P, columns, P, C)."""
    (rows, columns), C = _grid(image.shape, P), image.shape[2]
    split = image.reshape(rows, P, columns, P, C)
    return split.transpose(axes).reshape(rows * columns, P * P * C)


# Four ways to cut wrongly: known mistakes of exercise 2, and what went wrong in exercise 5.
CAUSES = {
    "reshape alone": lambda x, P: x.reshape(-1, P * P * x.shape[2]),
    "columns first": lambda x, P: _cut_by(x, P, (2, 0, 1, 3, 4)),
    "channels first": lambda x, P: _cut_by(x, P, (0, 2, 4, 1, 3)),
    "patches on their side": lambda x, P: _cut_by(x, P, (0, 2, 3, 1, 4)),
}


def _cut_with_sides_swapped(image, P):
    (rows, columns), C = _grid(image.shape, P), image.shape[2]
    split = image.reshape(columns, P, rows, P, C).transpose(0, 2, 1, 3, 4)
    return split.reshape(rows * columns, P * P * C)


def _cut_on_a_square(image, P):
    (rows, columns), C = _grid(image.shape, P), image.shape[2]
    side = int((rows * columns) ** 0.5)
    split = image.reshape(side, P, side, P, C).transpose(0, 2, 1, 3, 4)
    return split.reshape(-1, P * P * C)


def _cuts_squares_only(answer):
    """Tells whether an answer is right for a square image and fails on another."""
    square, wide = np.arange(16.0).reshape(4, 4, 1), np.arange(24.0).reshape(4, 6, 1)
    if not np.array_equal(answer(square, 2), cut(square, 2)):
        return False
    try:
        return not np.array_equal(answer(wide, 2), cut(wide, 2))
    except ValueError:
        return True


def _places(H, W):
    """Returns an image (H, W, 1) whose pixel in row r and column c is 10 r + c."""
    return np.add.outer(10 * np.arange(H), np.arange(W))[..., None].astype("uint8")


def _random_image(*shape):
    return _RNG.integers(0, 256, shape, dtype="uint8")


# Each channel has a range of its own; zeros and equal neighbours are in it.
_COLOURED = np.stack([[[0, 1, 2, 3], [0, 4, 5, 6]], [[20, 0, 0, 20], [21, 22, 23, 24]]], axis=-1)

CUT = Exercise(
    cut,
    hand_sized=[
        Case("4 x 6 pixels 10 r + c and P = 2", (_places(4, 6), 2)),
        Case("6 x 4 pixels 10 r + c and P = 2", (_places(6, 4), 2)),
        Case("a 2 x 4 image of two channels and P = 2", (_COLOURED, 2)),
        Case("the same image and P = 1", (_COLOURED, 1)),
    ],
    random=[
        Case("a random uint8 image 12 x 8 x 3 and P = 4", (_random_image(12, 8, 3), 4)),
        Case("a random float image 6 x 15 x 2 and P = 3", (_RNG.normal(size=(6, 15, 2)), 3)),
    ],
    invariants={
        "each value comes out as often as it went in": (
            lambda patches, image, _: np.array_equal(np.sort(patches.ravel()), np.sort(image, None))
        ),
    },
    mistakes=[
        Mistake(
            "Reshape without transpose",
            "The shape is right, but a patch now holds a strip, not a square.",
            CAUSES["reshape alone"],
        ),
        Mistake(
            "Columns of patches before rows",
            "Each patch is right; their order is not that of reading.",
            CAUSES["columns first"],
        ),
        Mistake(
            "Patches on their side",
            "The right pixels in the right patch, but its columns come before its rows.",
            CAUSES["patches on their side"],
        ),
        Mistake(
            "Channels first",
            "The colours of one pixel belong side by side, in a patch as in the photo.",
            CAUSES["channels first"],
        ),
        Mistake(
            "Every P-th pixel",
            "A patch is a square of neighbours; these pixels come from all over.",
            lambda x, P: _cut_by(x, P, (1, 3, 0, 2, 4)),
        ),
        Mistake(
            "Height and width swapped",
            "The first axis counts rows; a square would not have shown this.",
            _cut_with_sides_swapped,
        ),
        Mistake(
            "Only square images",
            "The number of patches does not say how many are in a row.",
            _cut_on_a_square,
            sign=_cuts_squares_only,
        ),
        Mistake(
            "The grid is kept",
            "A sequence has one axis for the patches and one for their numbers.",
            lambda x, P: cut(x, P).reshape(*_grid(x.shape, P), -1),
        ),
        Mistake(
            "The pixels are rescaled",
            "Cutting moves numbers and changes none; the model rescales later.",
            lambda x, P: cut(x, P) / 255,
        ),
    ],
    insight="cutting needs no arithmetic, so it is exact for every dtype. In NumPy the first\n"
    "reshape and the transpose are views; only the last reshape copies anything.",
)

# --- 3. Join ----------------------------------------------------------------------------------


def join(patches: np.ndarray, grid: tuple[int, int], patch_size: int) -> np.ndarray:
    """Puts patches back into an image.

    Args:
        patches: (N, P * P * C), numbered row by row.
        grid: (rows, columns) of patches, rows * columns = N.
        patch_size: P in pixels.

    Returns:
        (H, W, C) of the same dtype.
    """
    P, (rows, columns) = patch_size, grid
    return _join_by(patches, (rows, columns, P, P, -1), (0, 2, 1, 3, 4), grid, P)


def _join_by(patches, split, axes, grid, P):
    """Joins (N, P * P * C) with some split into five axes and some transpose of them."""
    rows, columns = grid
    return patches.reshape(split).transpose(axes).reshape(rows * P, columns * P, -1)


def _join_on_a_square(patches, grid, P):
    side, C = int(len(patches) ** 0.5), patches.shape[1] // P**2
    return _join_by(patches, (side, side, P, P, C), (0, 2, 1, 3, 4), (side, side), P)


def _joins_squares_only(answer):
    """Tells whether an answer is right for a square grid and fails on another."""
    square, wide = np.arange(16.0).reshape(4, 4), np.arange(24.0).reshape(6, 4)
    if not np.array_equal(answer(square, (2, 2), 2), join(square, (2, 2), 2)):
        return False
    try:
        return not np.array_equal(answer(wide, (2, 3), 2), join(wide, (2, 3), 2))
    except ValueError:
        return True


def _join_cases(*rows):
    return [Case(text, (cut(image, P), _grid(image.shape, P), P)) for text, image, P in rows]


JOIN = Exercise(
    join,
    hand_sized=_join_cases(
        ("patches of 4 x 6 pixels, P = 2", _places(4, 6), 2),
        ("patches of 6 x 4 pixels, P = 2", _places(6, 4), 2),
        ("patches of a 2 x 4 image of two channels, P = 2", _COLOURED, 2),
        ("patches of the same image, P = 1", _COLOURED, 1),
    ),
    random=_join_cases(
        ("patches of a random 12 x 8 x 3 image, P = 4", _random_image(12, 8, 3), 4),
        ("patches of a random 6 x 15 x 2 image, P = 3", _RNG.normal(size=(6, 15, 2)), 3),
    ),
    invariants={
        "the first patch is the upper left corner": (
            lambda image, patches, _, P: np.allclose(image[:P, :P].ravel(), patches[0])
        ),
        "the last patch is the lower right corner": (
            lambda image, patches, _, P: np.allclose(image[-P:, -P:].ravel(), patches[-1])
        ),
    },
    mistakes=[
        Mistake(
            "Reshape alone",
            "It lays each patch out as a strip; that is not where its pixels were.",
            lambda x, g, P: x.reshape(g[0] * P, g[1] * P, -1),
        ),
        Mistake(
            "Patches laid down the columns",
            "Patch 1 belongs to the right of patch 0, not below it.",
            lambda x, g, P: _join_by(x, (g[1], g[0], P, P, -1), (1, 2, 0, 3, 4), g, P),
        ),
        Mistake(
            "Each patch lies on its side",
            "Inside a patch, too, rows come before columns.",
            lambda x, g, P: _join_by(x, (*g, P, P, -1), (0, 3, 1, 2, 4), g, P),
        ),
        Mistake(
            "Channels taken as first",
            "The colours of one pixel stand side by side in a patch.",
            lambda x, g, P: _join_by(x, (*g, x.shape[1] // P**2, P, P), (0, 3, 1, 4, 2), g, P),
        ),
        Mistake(
            "Height and width swapped",
            "The grid is (rows, columns), the image (H, W, C): the same order.",
            lambda x, g, P: join(x, g[::-1], P),
        ),
        Mistake(
            "The picture lies on its side",
            "All is in one piece, but mirrored along the diagonal.",
            lambda x, g, P: join(x, g, P).swapaxes(0, 1),
        ),
        Mistake(
            "Only square grids",
            "The grid is given as a pair, so nothing has to be guessed from N.",
            _join_on_a_square,
            sign=_joins_squares_only,
        ),
        Mistake(
            "One tower of patches",
            "The patches of a row belong beside each other, not below.",
            lambda x, g, P: x.reshape(len(x) * P, P, -1),
        ),
        Mistake(
            "Still in five axes",
            "The numbers are in order; the four axes of place are to become two.",
            lambda x, g, P: x.reshape(*g, P, P, -1).transpose(0, 2, 1, 3, 4),
        ),
    ],
    insight="the transpose swaps axes 1 and 2 and so undoes itself: cutting and joining share it.\n"
    "Models that draw, such as masked autoencoders (arXiv 2111.06377), end with this function.",
)

# --- 4. One kernel, two layers ----------------------------------------------------------------


def convolution_kernel(kernel: np.ndarray, patch_size: int) -> np.ndarray:
    """Turns the kernel of a Dense layer on patches into that of a Conv2D with stride P.

    Args:
        kernel: (P * P * C, D), acts on patches as `cut` makes them.
        patch_size: P.

    Returns:
        (P, P, C, D), as Keras stores it: rows, columns, channels in, channels out.
    """
    return kernel.reshape(patch_size, patch_size, -1, kernel.shape[1])


def _coded_kernel(P, C, D):
    """Returns a kernel whose weight for row r, column c, channel k is 100 r + 10 c + k."""
    codes = np.add.outer(np.add.outer(100 * np.arange(P), 10 * np.arange(P)), np.arange(C))
    return codes.reshape(-1, 1) * np.eye(1, D) + np.eye(P * P * C, D, -2)


def _random_kernel(P, C, D):
    return _RNG.normal(size=(P * P * C, D)).astype("float32")


CONVOLUTION_KERNEL = Exercise(
    convolution_kernel,
    hand_sized=[
        Case("12 weights 100 r + 10 c + channel and P = 2", (_coded_kernel(2, 3, 1), 2)),
        Case("a kernel 12 x 4 and P = 2", (_coded_kernel(2, 3, 4), 2)),
        Case("a kernel 18 x 5 and P = 3", (_coded_kernel(3, 2, 5), 3)),
    ],
    random=[
        Case("a random kernel 48 x 7 and P = 4", (_random_kernel(4, 3, 7), 4)),
        Case("a random kernel 9 x 2 and P = 3", (_random_kernel(3, 1, 2), 3)),
    ],
    invariants={
        "each filter keeps the sum of its weights": (
            lambda w, kernel, _: np.allclose(w.sum(axis=(0, 1, 2)), kernel.sum(axis=0), atol=1e-4)
        ),
    },
    mistakes=[
        Mistake(
            "Turned upside down",
            "Convolutions in textbooks flip their kernel; those of Keras do not.",
            lambda w, P: convolution_kernel(w, P)[::-1, ::-1],
        ),
        Mistake(
            "Rows and columns swapped",
            "Both have length P, so no error tells. Rows come first.",
            lambda w, P: convolution_kernel(w, P).swapaxes(0, 1),
        ),
        Mistake(
            "Channels taken as first",
            "In a patch the colours of one pixel stand side by side.",
            lambda w, P: w.reshape(-1, P, P, w.shape[1]).transpose(1, 2, 0, 3),
        ),
        Mistake(
            "Filters taken as first",
            "A filter is a column of the Dense kernel, not a row.",
            lambda w, P: w.T.reshape(P, P, -1, w.shape[1]),
        ),
        Mistake(
            "Filters in front",
            "Keras keeps the channels that come out on the last axis.",
            lambda w, P: w.T.reshape(-1, P, P, len(w) // P**2),
        ),
        Mistake(
            "PyTorch's order",
            "(out, in, rows, columns) is the other library's; Keras begins with rows.",
            lambda w, P: convolution_kernel(w, P).transpose(3, 2, 0, 1),
        ),
        Mistake(
            "A kernel of one pixel",
            "It would see a single pixel of P * P * C channels; a photo has three.",
            lambda w, P: w[None, None],
        ),
        Mistake(
            "Divided by the number of pixels",
            "The layers sum over the patch, they do not average.",
            lambda w, P: convolution_kernel(w, P) / P**2,
        ),
    ],
    insight="this is how published models are read: Google's checkpoints store the patch layer as\n"
    "a convolution (P, P, C, D), and one reshape makes it a Dense layer.",
)

# --- 5. What went wrong -----------------------------------------------------------------------


def broken_pictures(image: np.ndarray, patch_size: int) -> dict[str, np.ndarray]:
    """Cuts a photo with a bug and joins the patches without one, four times.

    Args:
        image: (H, W, 3).
        patch_size: P in pixels.

    Returns:
        "A", "B", "C", "D" -> picture (H, W, 3).
    """
    return {
        name: join(CAUSES[cause](image, patch_size), _grid(image.shape, patch_size), patch_size)
        for name, cause in DIAGNOSIS.truth.items()
    }


DIAGNOSIS = Diagnosis(
    "diagnosis",
    truth={
        "A": "patches on their side",
        "B": "reshape alone",
        "C": "columns first",
        "D": "channels first",
    },
    mistakes=[
        Mistake(
            "Lying patches taken for columns first",
            "Then patches would have moved; here each still has the colours of its place.",
            ("patches on their side", "columns first"),
        ),
        Mistake(
            "Lying patches taken for reshape alone",
            "Then lines of the photo would run through; here squares are still squares.",
            ("patches on their side", "reshape alone"),
        ),
        Mistake(
            "Lying patches taken for channels first",
            "Then the colours would be gone; here every pixel has kept its own.",
            ("patches on their side", "channels first"),
        ),
        Mistake(
            "Reshape alone taken for lying patches",
            "Then every pixel would still be in its own patch; here few are.",
            ("reshape alone", "patches on their side"),
        ),
        Mistake(
            "Reshape alone taken for columns first",
            "Then each patch would be a whole piece of the photo; here none is.",
            ("reshape alone", "columns first"),
        ),
        Mistake(
            "Reshape alone taken for channels first",
            "Then hardly a colour would be left; here all are, in the wrong places.",
            ("reshape alone", "channels first"),
        ),
        Mistake(
            "Columns first taken for lying patches",
            "Then every patch would be in its place; here those off the diagonal moved.",
            ("columns first", "patches on their side"),
        ),
        Mistake(
            "Columns first taken for reshape alone",
            "Then no patch would be a piece of the photo; here every one is, and upright.",
            ("columns first", "reshape alone"),
        ),
        Mistake(
            "Columns first taken for channels first",
            "Then the inside of the patches would be spoilt; here only their places are.",
            ("columns first", "channels first"),
        ),
        Mistake(
            "Channels first taken for lying patches",
            "Then the colours would be those of the photo; here most are grey.",
            ("channels first", "patches on their side"),
        ),
        Mistake(
            "Channels first taken for reshape alone",
            "Then the colours would be the photo's; look at the same place in both.",
            ("channels first", "reshape alone"),
        ),
        Mistake(
            "Channels first taken for columns first",
            "Then a patch would look like a piece of the photo; here none does.",
            ("channels first", "columns first"),
        ),
    ],
    insight="three of the four only sort the same squares differently: a model trained that way\n"
    "learns as well, until it meets weights trained on the right cut. Which one is worse?",
)

EXERCISES = (PATCH_CORNER, CUT, JOIN, CONVOLUTION_KERNEL, DIAGNOSIS)

# --- The checks -------------------------------------------------------------------------------


def check_patch_corner(answer: Callable) -> None:
    """Prints how far an answer to exercise 1 climbs."""
    print(verdict(PATCH_CORNER, answer))


def check_cut(answer: Callable) -> None:
    """Prints how far an answer to exercise 2 climbs."""
    print(verdict(CUT, answer))


def check_join(answer: Callable) -> None:
    """Prints how far an answer to exercise 3 climbs."""
    print(verdict(JOIN, answer))


def check_convolution_kernel(answer: Callable) -> None:
    """Prints how far an answer to exercise 4 climbs."""
    print(verdict(CONVOLUTION_KERNEL, answer))


def check_diagnosis(answer: Mapping[str, str]) -> None:
    """Prints whether each picture of exercise 5 has been given its cause."""
    print(diagnose(DIAGNOSIS, answer))
