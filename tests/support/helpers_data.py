"""Writers of small files in every format that minisvdd reads, independent of the readers under test."""

import io
import os
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from minisvdd.errors import DataError

IDX_CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}

REAL_DATA = os.environ.get("MINISVDD_DATA")
needs_data = pytest.mark.skipif(not REAL_DATA, reason="set MINISVDD_DATA to a folder of data sets")


def one_line_error(call, *words, error=DataError):
    """`call()` must raise `error` with one line that holds all `words`; returns the line."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message
    return message


def idx_bytes(array):
    header = bytes([0, 0, IDX_CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def cifar_bytes(images, labels):
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels))


def ppm_bytes(image, comment=""):
    height, width = image.shape[:2]
    return f"P6\n{comment}{width} {height}\n255\n".encode() + image.tobytes()


def png_bytes(image, mode=None):
    stream = io.BytesIO()
    Image.fromarray(image).convert(mode or "RGB").save(stream, "PNG")
    return stream.getvalue()


def promising_png(content, width, height):
    """The same file, whose header says that the image is of another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def npy_bytes(array, allow_pickle=False):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def npz_bytes(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def npy_promising(shape, dtype="<f8", data=b""):
    """An .npy file whose header promises `shape`, followed by `data` only."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def write_files(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zip_bytes(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tar_bytes(files):
    """A .tar.gz archive; content None makes a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return stream.getvalue()


def mnist_files(rng, n_train=40, n_test=20):
    """The four files of a tiny MNIST, classes in turn."""
    files = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(rng.integers(0, 256, (n, 28, 28), np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes(np.arange(n, dtype=np.uint8) % 10)
    return files


def cifar_files(rng, n=10):
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
    labels = np.arange(n, dtype=np.uint8) % 10
    return {name: cifar_bytes(rng.integers(0, 256, (n, 3, 32, 32), np.uint8), labels) for name in names}


SIGN_HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2"


def sign_image(rng, width, height, region, inside=200):
    """Noise below 100 outside the region of interest, the constant `inside` in it: (H, W, 3)."""
    image = rng.integers(0, 100, (height, width, 3), np.uint8)
    x1, y1, x2, y2 = region
    image[y1:y2, x1:x2] = inside
    return image


def gtsrb_training_files(rng, labels=(1, 14), per_class=3):
    """Official layout. The region is wide and low, so that exchanging x and y shows."""
    files = {}
    for label in labels:
        rows = [SIGN_HEADER + ";ClassId"]
        for k in range(per_class):
            image = sign_image(rng, 50, 30, (6, 5, 43, 20), inside=100 + label)
            files[f"GTSRB/Final_Training/Images/{label:05d}/00000_{k:05d}.ppm"] = ppm_bytes(image)
            rows.append(f"00000_{k:05d}.ppm;50;30;6;5;43;20;{label}")
        files[f"GTSRB/Final_Training/Images/{label:05d}/GT-{label:05d}.csv"] = "\r\n".join(rows).encode()
    return files


def gtsrb_test_files(rng, labels=(14, 1, 2, 14)):
    """(files of the test archive, whose table has no classes; files of the archive with the classes)."""
    rows, files = [], {}
    for k, label in enumerate(labels):
        image = sign_image(rng, 50, 30, (6, 5, 43, 20), inside=100 + label)
        files[f"GTSRB/Final_Test/Images/{k:05d}.ppm"] = ppm_bytes(image)
        rows.append(f"{k:05d}.ppm;50;30;6;5;43;20")
    files["GTSRB/Final_Test/Images/GT-final_test.test.csv"] = "\n".join([SIGN_HEADER, *rows]).encode()
    labelled = [SIGN_HEADER + ";ClassId"] + [f"{row};{label}" for row, label in zip(rows, labels)]
    return files, {"GT-final_test.csv": "\n".join(labelled).encode()}


def mutations(rng, content, count):
    """Truncations, changed bytes, zeroed and inserted blocks of `content`; the first bytes are hit more often."""
    for k in range(count):
        mutant = bytearray(content)
        position = int(rng.integers(0, min(len(content), 64) if k % 2 else len(content)))
        length = int(rng.integers(1, 9))
        kind = k % 5
        if kind == 0:
            del mutant[position:]
        elif kind == 1:
            mutant[position : position + length] = rng.bytes(length)
        elif kind == 2:
            mutant[position] ^= 1 << int(rng.integers(0, 8))
        elif kind == 3:
            mutant[position : position + length] = bytes([rng.choice([0, 255])]) * length
        else:
            mutant[position:position] = rng.bytes(length)
        yield bytes(mutant)
