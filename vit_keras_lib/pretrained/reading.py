"""Reads checkpoint files that nobody vouches for.

Nothing in a file is executed and nothing is written. A header is believed only after its sizes
have been held against the file: memory stays within a small multiple of what lies on disk.
Whatever is wrong with a file, a ValueError says so.
"""

import contextlib
import json
import math
import struct
import zipfile
from pathlib import Path

import numpy as np

# Weights hardly shrink when they are packed; a file that grows more is built to fill the memory.
MAX_INFLATION = 20
MAX_JSON = 10 * 2**20  # bytes
MAX_HEADER = 100 * 2**20  # bytes; the format's own limit

# The types of https://huggingface.co/docs/safetensors that NumPy has; "BF16" is dealt with below.
SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


@contextlib.contextmanager
def one_error(path, kind):
    """Turns whatever goes wrong while a file is read into a ValueError that names the file."""
    try:
        yield
    except Exception as error:  # zipfile alone raises a dozen kinds
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path.name} cannot be read as {kind}: {reason}") from error


def read_npz(path):
    """Reads the arrays of an `.npz` file, without pickles.

    Args:
        path: of the file.

    Returns:
        A dictionary from names to read-only arrays. bfloat16, which NumPy stores as two raw
        bytes, comes as float32.

    Raises:
        ValueError: for a file that is no `.npz`, is damaged, holds pickled objects, lies about
            sizes, or unpacks to more than 20 times its own size.
    """
    path = Path(path)
    tensors = {}
    with one_error(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked, packed = sum(m.file_size for m in members), path.stat().st_size
        if unpacked > MAX_INFLATION * packed:
            raise ValueError(f"its {packed} bytes claim to unpack to {unpacked}")
        for member in members:
            name, suffix = member.filename[:-4], member.filename[-4:]
            if suffix != ".npy" or name in tensors:
                raise ValueError(f"{member.filename!r} is no array, or is there twice")
            with archive.open(member) as file:
                tensors[name] = _read_npy(file, name, member.file_size)
    return tensors


def _read_npy(file, name, size):
    """Reads one array of `size` bytes, header included."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"{name!r} has format version {version}, expected one of {list(readers)}")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name!r} holds pickled objects, which could run code; refused")
    if dtype.kind not in "fiub" and dtype.str != "|V2":
        raise ValueError(f"{name!r} has dtype {dtype}, expected numbers")
    expected, rest = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or expected != rest:
        raise ValueError(f"{name!r} claims shape {shape} and {dtype}, but {rest} bytes are there")
    data = file.read(expected)
    if len(data) != expected or file.read(1):  # reading past the end checks the checksum
        raise ValueError(f"{name!r} ends too early")
    if dtype.str == "|V2":
        array = _from_bfloat16(np.frombuffer(data, "<u2"))
    else:
        array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def read_safetensors(path):
    """Reads the arrays of a `.safetensors` file.

    Eight bytes of header length, a JSON header, then the tensors back to back. Checked: lengths,
    types, shapes, and that the tensors fill the rest of the file without gap or overlap.

    Args:
        path: of the file.

    Returns:
        A dictionary from names to read-only arrays, mapped into memory as they are used.
        bfloat16 comes as float32.

    Raises:
        ValueError: for a file that is damaged or lies about itself.
    """
    path = Path(path)
    with one_error(path, "a .safetensors file"):
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size - 8, MAX_HEADER):
                raise ValueError(f"its header claims {length} bytes, the file has {size}")
            header = json.loads(file.read(length), object_pairs_hook=_once)
        header.pop("__metadata__", None)
        data = np.memmap(path, "u1", mode="r", offset=8 + length, shape=size - 8 - length)
        tensors, end = {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape = SAFETENSORS_DTYPES.get(entry["dtype"]), entry["shape"]
            start, stop = entry["data_offsets"]
            if dtype is None:
                raise ValueError(f"{name!r} has the unknown dtype {entry['dtype']!r}")
            if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
                raise ValueError(f"{name!r} has shape {shape} at {start}, {stop}")
            if start != end or stop - start != math.prod(shape) * np.dtype(dtype).itemsize:
                raise ValueError(
                    f"{name!r} claims shape {shape} of {entry['dtype']} in bytes {start} to "
                    f"{stop}; the tensor before it ends at {end}"
                )
            end = stop
            array = np.asarray(data[start:stop]).view(dtype)
            if entry["dtype"] == "BF16":
                array = _from_bfloat16(array)
            tensors[name] = array.reshape(shape)
        if end != len(data):
            raise ValueError(f"its tensors claim {end} bytes, but {len(data)} are there")
    return tensors


def _once(pairs):
    """Makes a dictionary of a JSON object, unless a key is there twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is there twice")
    return result


def _from_bfloat16(bits):
    """Makes float32 of bfloat16: the same number with 16 more bits, all 0."""
    return (bits.astype("<u4") << 16).view("<f4")


def read_json(path):
    """Reads a JSON object from a file of at most 10 MB.

    Raises:
        ValueError: for anything else.
    """
    path = Path(path)
    with one_error(path, "a JSON object"):
        if path.stat().st_size > MAX_JSON:
            raise ValueError(f"{path.stat().st_size} bytes are more than {MAX_JSON}")
        result = json.loads(path.read_bytes(), object_pairs_hook=_once)
        if not isinstance(result, dict):
            raise ValueError(f"it holds a {type(result).__name__}")
    return result
