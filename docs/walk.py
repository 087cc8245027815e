"""Draws the README's picture: `python docs/walk.py` writes docs/walk.png."""

from pathlib import Path

import numpy as np

from vit_keras_lib import attention_maps, class_attention, load_flowers, load_pretrained, plots

PHOTO = 8  # of the test photos


def main():
    """Photo, patches, and where the class token looks in each block."""
    model = load_pretrained("flowers")
    flowers = load_flowers("procedural_flowers", image_size=96)
    image, label = next(flowers.test.skip(PHOTO).as_numpy_iterator())  # (96, 96, 3)
    maps = attention_maps(model, image[None])
    heat = class_attention(maps, model.grid).mean(axis=2)[0] * maps.shape[-1]  # (6, 6, 6)

    with plots.style():
        figure, axes = plots.panels(1, 2 + model.depth, 1.8)
    P = model.patch_size[0]
    axes[0, 0].imshow(image)
    axes[0, 0].set_title(f"a photo: {flowers.class_names[label]}", fontsize=11)
    gap = 4  # pixels
    rows, cols = model.grid
    side = [n * P + (n - 1) * gap for n in (rows, cols)]
    cut = np.full((*side, 3), 255, "uint8")
    for r, c in np.ndindex(rows, cols):
        y, x = r * (P + gap), c * (P + gap)
        cut[y : y + P, x : x + P] = image[r * P : (r + 1) * P, c * P : (c + 1) * P]
    axes[0, 1].imshow(cut)
    axes[0, 1].set_title(f"{rows * cols} patches", fontsize=11)
    for block in range(model.depth):
        axes[0, 2 + block].imshow(plots.overlay(image, heat[block] / np.percentile(heat, 99)))
        axes[0, 2 + block].set_title(f"block {block} looks here", fontsize=11)
    figure.savefig(Path(__file__).with_name("walk.png"), dpi=110)


if __name__ == "__main__":
    main()
