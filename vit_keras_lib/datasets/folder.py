"""A folder of pictures: what is in it, what is wrong with it, and how it is split."""

import errno
import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vit_keras_lib.datasets.decode import ENDINGS, BadImageError, open_picture, open_regular
from vit_keras_lib.datasets.splits import SPLITS, split_by_content

LAYOUT = (
    "Expected is a folder of class folders (flowers/roses/1.jpg, flowers/tulips/1.jpg, ...), or "
    "folders train, validation and test of class folders."
)
SPLIT_FOLDERS = {  # in any case of letters
    "train": "train", "training": "train", "validation": "validation", "val": "validation",
    "valid": "validation", "test": "test", "testing": "test",
}  # fmt: skip
NO_CLASSES = ("__MACOSX",)  # what a Mac leaves in an archive


def shown(text: str) -> str:
    """A file name as it can be printed, whatever bytes it was made of."""
    return text.encode("utf-8", "backslashreplace").decode()


def progress(items: Iterable, total: int, what: str) -> Iterable:
    """Shows a bar after three seconds, on terminals only: notebooks stay clean."""
    return tqdm(items, what, total, leave=False, disable=None, delay=3)


@dataclass
class BadImages:
    """Collects what had to be left out, and decides when it is too much.

    Attributes:
        source: Name of the data set, for messages.
        total: Number of pictures looked at, good and bad.
        strict: Raise at the first bad picture.
        reasons: Reason by file name, in the order of discovery.
        others: Files that are no pictures by their ending; they are listed, but not counted.
    """

    source: str
    total: int
    strict: bool
    reasons: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, reason: str) -> bool:
        """Notes a bad picture.

        Args:
            name: Name of the file, relative to the data set.
            reason: What is wrong with it.

        Returns:
            Whether it was new.

        Raises:
            ValueError: The first one when strict, or more than 10 % of all pictures are bad.
        """
        if name in self.reasons:
            return False
        self.reasons[name] = reason
        if self.strict:
            raise ValueError(
                f"{name} in {self.source!r}: {reason}. Expected is a picture. Remove the file, "
                'or pass on_bad_image="skip" to leave such files out.'
            )
        if len(self.reasons) > 0.1 * self.total:
            examples = "\n".join(f"  {n}: {r}" for n, r in list(self.reasons.items())[:10])
            raise ValueError(
                f"More than 10 % of the {self.total} pictures in {self.source!r} cannot be used "
                f"({len(self.reasons)} so far); something is wrong with the whole. Remove or "
                f"repair them, for example:\n{examples}"
            )
        return True

    def listed(self) -> tuple[tuple[str, str], ...]:
        """All that was left out, as (file name, reason)."""
        return (*self.reasons.items(), *self.others.items())


@dataclass
class Pictures:
    """The usable pictures of a folder, in the order of their hashes.

    Attributes:
        paths: Path of each picture, N of them.
        names: The same relative to the folder, printable.
        hashes: SHA-256 of each file's bytes, hexadecimal.
        labels: Class of each, int64 (N,).
        given: Split each was found in (strings, (N,)), or None where we split.
        class_names: Names of the classes.
    """

    paths: list[str]
    names: list[str]
    hashes: list[str]
    labels: np.ndarray
    given: np.ndarray | None
    class_names: tuple[str, ...]

    def rows(self, bad: BadImages) -> dict[str, np.ndarray]:
        """Splits the pictures that are not bad.

        Args:
            bad: The pictures to leave out.

        Returns:
            Row numbers by split.

        Raises:
            ValueError: A class has too few pictures for all three splits.
        """
        good = np.array([i for i, n in enumerate(self.names) if n not in bad.reasons], dtype=int)
        labels = self.labels[good]
        if self.given is None:
            splits = split_by_content([self.hashes[i] for i in good], labels, self.class_names)
        else:
            splits = self.given[good]
            for split in SPLITS:
                for label, name in enumerate(self.class_names):
                    if not ((splits == split) & (labels == label)).any():
                        raise ValueError(
                            f"Class {shown(name)!r} has no usable picture in {split} of "
                            f"{bad.source!r}; at least 1 is needed. Add pictures, or remove the "
                            "class from all three folders."
                        )
        return {split: good[splits == split] for split in SPLITS}


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and _is_folder(e)]
            return sorted(set(names) - set(NO_CLASSES))
    except PermissionError as error:
        raise _unreadable(folder) from error


def _unreadable(folder: str) -> ValueError:
    return ValueError(
        f"The folder {shown(os.path.basename(folder))!r} may not be read by this user. Expected "
        "is a readable folder of pictures; change its permissions (chmod u+rx), or move it away."
    )


def _loop(path: str) -> ValueError:
    return ValueError(
        f"The link {shown(os.path.basename(path))!r} leads back to a folder that holds it, so "
        "the folder has no end. Expected are folders of pictures; remove the link."
    )


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _loop(entry.path) from error
        raise


def _files(folder: str, trail: tuple[str, ...]) -> Iterator[os.DirEntry]:
    """All files below a folder; `trail` holds the real paths of the folders that lead there."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except PermissionError as error:
        raise _unreadable(folder) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not _is_folder(entry):
            yield entry
            continue
        real = os.path.realpath(entry.path)
        if real in trail:
            raise _loop(entry.path)
        yield from _files(entry.path, (*trail, real))


def _class_folders(root: str, source: str) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
    """Finds the layout: class names, and (split or "", class name, folder) of every folder."""
    top = _folders(root)
    if not top:
        raise ValueError(f"The folder {source!r} holds no folders. {LAYOUT}")
    if not {name.lower() for name in top} <= set(SPLIT_FOLDERS):
        return tuple(top), [("", name, os.path.join(root, name)) for name in top]
    splits = [SPLIT_FOLDERS[name.lower()] for name in top]
    if sorted(splits) != sorted(SPLITS):
        raise ValueError(
            f"The folder {source!r} holds the split folders {', '.join(top)}. Expected are "
            "exactly train, validation (or val, valid) and test. Add what is missing, or put the "
            "class folders together and let the pictures be split here."
        )
    found = {
        (split, name): os.path.join(root, folder, name)
        for folder, split in zip(top, splits, strict=True)
        for name in _folders(os.path.join(root, folder))
    }
    class_names = tuple(sorted({name for _, name in found}))
    for split in SPLITS:
        missing = [name for name in class_names if (split, name) not in found]
        if missing:
            raise ValueError(
                f"The split folder {split} of {source!r} lacks the classes "
                f"{shown(', '.join(missing))}. Expected are the same class folders in train, "
                "validation and test."
            )
    return class_names, [(split, name, path) for (split, name), path in found.items()]


def _inspect(path: str) -> tuple[str, str]:
    """Reads a file's header and hashes its bytes; returns (hash, reason it is bad)."""
    try:
        with open_regular(path) as file:
            open_picture(file)
            file.seek(0)
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest(), ""
    except BadImageError as error:
        return "", str(error)
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"


def _inode(path: str) -> tuple:
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _loop(path) from error
        return (path,)
    return (status.st_dev, status.st_ino) if status.st_ino else (path,)


def list_folder(root: str | Path, strict: bool) -> tuple[Pictures, BadImages]:
    """Lists a folder's pictures, with the hash of each; decodes none.

    The header of every picture is read, so that empty, foreign and oversized files are found
    here; damage behind the header shows when the picture is decoded.

    Args:
        root: Folder of class folders, or of split folders of class folders. Hidden files and
            folders are ignored, as are files outside the class folders.
        strict: Raise at the first bad picture.

    Returns:
        The usable pictures, and what was left out so far.

    Raises:
        ValueError: The folder has another layout, holds no pictures or a single class, may not be
            read, contains a link that leads back to itself, or too many pictures are bad.
    """
    root = os.fspath(root)
    source = shown(os.path.basename(os.path.realpath(root)))
    class_names, folders = _class_folders(root, source)
    number = {name: i for i, name in enumerate(class_names)}
    real_root = os.path.realpath(root)

    paths, labels, splits, others = [], [], [], []
    for split, name, folder in folders:
        trail = (real_root, os.path.realpath(folder))
        if trail[0] == trail[1]:
            raise _loop(folder)
        for entry in _files(folder, trail):
            if entry.name.lower().endswith(ENDINGS):
                paths.append(entry.path)
                labels.append(number[name])
                splits.append(split)
            else:
                others.append(entry.path)
    if not paths:
        raise ValueError(
            f"The folder {source!r} holds no pictures ({', '.join(ENDINGS)}). {LAYOUT}"
        )
    if len(class_names) < 2:
        raise ValueError(
            f"The folder {source!r} holds a single class, {shown(class_names[0])!r}; at least 2 "
            f"are needed to tell apart. {LAYOUT}"
        )

    names = [shown(os.path.relpath(path, root)) for path in paths]
    bad = BadImages(source, len(paths), strict)
    for path in others:
        name = shown(os.path.relpath(path, root))
        bad.others[name] = f"no picture by its ending ({', '.join(ENDINGS)})"

    # Hard links share their bytes: each file on disk is read once.
    inodes = [_inode(path) for path in paths]
    once = dict(zip(inodes, paths, strict=True))
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Pillow warns of large and of odd files; we refuse them, or they can be read.
        warnings.simplefilter("ignore")
        results = pool.map(_inspect, once.values())
        inspected = dict(zip(once, progress(results, len(once), "reading"), strict=True))
    hashes = []
    for name, inode in zip(names, inodes, strict=True):
        content_hash, reason = inspected[inode]
        hashes.append(content_hash)
        if reason:
            bad.add(name, reason)

    _find_conflicts(names, hashes, labels, splits, class_names, bad)
    # By hash: a fixed order that mixes the classes and does not hang on file names.
    good = [i for i, name in enumerate(names) if name not in bad.reasons]
    good.sort(key=lambda i: (hashes[i], names[i]))
    pictures = Pictures(
        paths=[paths[i] for i in good],
        names=[names[i] for i in good],
        hashes=[hashes[i] for i in good],
        labels=np.array([labels[i] for i in good], dtype=np.int64),
        given=np.array([splits[i] for i in good]) if splits[0] else None,
        class_names=tuple(shown(name) for name in class_names),
    )
    return pictures, bad


def _find_conflicts(names, hashes, labels, splits, class_names, bad: BadImages):
    """Leaves out pictures whose copies contradict each other.

    The same bytes in two classes: nobody can say which is right, all copies go. The same bytes in
    two given splits: only the copy in the last of train, validation, test stays, or the test
    would ask for what was learnt by heart.
    """
    classes_of, split_of = {}, {}
    for content_hash, label, split in zip(hashes, labels, splits, strict=True):
        if content_hash:
            classes_of.setdefault(content_hash, set()).add(label)
            rank = SPLITS.index(split) if split else 0
            split_of[content_hash] = max(split_of.get(content_hash, 0), rank)
    for name, content_hash, split in zip(names, hashes, splits, strict=True):
        if not content_hash:
            continue
        classes = classes_of[content_hash]
        if len(classes) > 1:
            listed = " and ".join(shown(class_names[label]) for label in sorted(classes))
            bad.add(name, f"the same picture is in two classes: {listed}")
        elif split and SPLITS.index(split) < split_of[content_hash]:
            bad.add(name, f"the same picture is also in {SPLITS[split_of[content_hash]]}")
