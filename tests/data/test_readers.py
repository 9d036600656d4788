import gzip
import io
import struct

import numpy as np
import pytest
from helpers_data import (
    cifar_bytes,
    idx_bytes,
    mutations,
    npy_bytes,
    npz_bytes,
    one_line_error,
    png_bytes,
    ppm_bytes,
    promising_png,
    sign_image,
)
from PIL import Image

from minisvdd.data.own import read_samples
from minisvdd.data.readers import (
    Sign,
    cut_sign,
    read_cifar10,
    read_idx,
    read_image,
    read_sign_table,
)
from minisvdd.errors import DataError
from minisvdd.files.arrays import read_array


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def written(tmp_path, content, name="file.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def refusal(read, path, *words):
    one_line_error(lambda: read(path), path, *words)


# --- IDX ---


def test_idx_bombs_are_refused_before_they_expand(tmp_path):
    """A compressed file that promises far more than anything of its length holds; a small promise does no harm."""
    for width, words in ((300 << 20, ("promise 314572800", "made to fill the memory")), (16 << 20, ("truncated",))):
        header = b"\0\0\x08\x01" + struct.pack(">I", width)
        refusal(read_idx, written(tmp_path, gzip.compress(header)), *words)
    refusal(read_idx, written(tmp_path, b"\0\0\x08\x01" + struct.pack(">I", 300 << 20)), "truncated")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("compress", [False, True])
def test_idx_round_trip(tmp_path, rng, dtype, compress):
    array = rng.integers(0, 100, (5, 4, 3)).astype(dtype)
    content = idx_bytes(array)
    # The name says the opposite of the content: only the content counts.
    path = written(tmp_path, gzip.compress(content) if compress else content, "images" if compress else "images.gz")
    result = read_idx(path)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


def test_idx_from_a_stream_and_a_string(tmp_path, rng):
    array = rng.integers(0, 256, (3, 2, 2), np.uint8)
    np.testing.assert_array_equal(read_idx(io.BytesIO(idx_bytes(array))), array)
    np.testing.assert_array_equal(read_idx(str(written(tmp_path, idx_bytes(array)))), array)


def test_idx_size_must_be_the_promised_one(tmp_path):
    content = idx_bytes(np.zeros((5, 4), np.uint8))
    refusal(read_idx, written(tmp_path, content[:-1]), "truncated", "expected 20 bytes", "found 19")
    refusal(read_idx, written(tmp_path, content + b"x"), "expected 20 bytes", "found more")
    refusal(read_idx, written(tmp_path, content[:9]), "truncated", "2 dimensions")


def test_idx_enormous_promise_allocates_nothing(tmp_path):
    header = bytes([0, 0, 8, 3]) + 3 * (10_000).to_bytes(4, "big")
    refusal(read_idx, written(tmp_path, header + bytes(100)), f"expected {10**12} bytes", "found 100")


@pytest.mark.parametrize("content", [b"", b"\0\0", b"hello world", b"\0\0\x07\x01" + bytes(9), b"\0\0\x08\0"])
def test_idx_refuses_other_formats(tmp_path, content):
    refusal(read_idx, written(tmp_path, content), "not an IDX file")


def test_idx_damaged_gzip(tmp_path, rng):
    content = gzip.compress(idx_bytes(rng.integers(0, 256, (50, 20), np.uint8)))
    refusal(read_idx, written(tmp_path, content[:-20]))
    wrong_crc = bytearray(content)
    wrong_crc[-6] ^= 1
    refusal(read_idx, written(tmp_path, bytes(wrong_crc)), "CRC")


def test_idx_checksum_is_of_the_decompressed_content(tmp_path):
    import hashlib

    content = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))
    digest = hashlib.sha256(content).hexdigest()
    for level in (1, 9):
        assert read_idx(written(tmp_path, gzip.compress(content, level)), sha256=digest).sum() == 66
    refusal(lambda path: read_idx(path, sha256="0" * 64), written(tmp_path, content), "SHA256", digest[:16])


def test_an_image_of_zeros_is_a_bomb(tmp_path):
    """16 megapixels of one colour in 16 kB; the same of noise, or a smaller one, are read."""
    bomb = io.BytesIO()
    Image.new("L", (4096, 4096)).save(bomb, "PNG")
    refusal(read_image, written(tmp_path, bomb.getvalue()), "made to fill the memory")
    small = io.BytesIO()
    Image.new("L", (2048, 2048)).save(small, "PNG")
    assert read_image(written(tmp_path, small.getvalue())).shape == (2048, 2048, 3)


def test_missing_file_and_folder(tmp_path):
    for read in (read_idx, read_cifar10, read_image, read_samples, read_sign_table):
        refusal(read, tmp_path / "absent", "no such file")
        refusal(read, tmp_path)


# --- CIFAR-10 ---


def test_cifar10_planes_and_labels(tmp_path, rng):
    images = rng.integers(0, 256, (4, 3, 32, 32), np.uint8)
    read_images, labels = read_cifar10(written(tmp_path, cifar_bytes(images, [9, 0, 3, 3])))
    np.testing.assert_array_equal(read_images, images)
    np.testing.assert_array_equal(labels, [9, 0, 3, 3])


def test_cifar10_refusals(tmp_path, rng):
    content = cifar_bytes(rng.integers(0, 256, (3, 3, 32, 32), np.uint8), [1, 2, 3])
    refusal(read_cifar10, written(tmp_path, content[:-1]), "3073 bytes", "found 9218 bytes")
    refusal(read_cifar10, written(tmp_path, content + b"x"), "3073 bytes", "found 9220 bytes")
    refusal(read_cifar10, written(tmp_path, b""), "found 0 bytes")
    wrong = content[:3073] + b"\x0a" + content[3074:]
    refusal(read_cifar10, written(tmp_path, wrong), "labels 0 to 9", "found 10 in record 1")
    refusal(lambda path: read_cifar10(path, md5="0" * 32), written(tmp_path, content), "MD5")


# --- PPM and PNG ---


@pytest.mark.parametrize("comment", ["", "# made by hand\n", "# one\n# two\n  "])
def test_ppm_round_trip(tmp_path, rng, comment):
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(read_image(written(tmp_path, ppm_bytes(image, comment))), image)


def test_ppm_pixels_may_look_like_white_space(tmp_path):
    image = np.full((2, 2, 3), ord("\n"), np.uint8)
    np.testing.assert_array_equal(read_image(written(tmp_path, ppm_bytes(image))), image)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_png_becomes_rgb(tmp_path, rng, mode):
    image = rng.integers(0, 2, (6, 4, 1), np.uint8).repeat(3, axis=2) * 255
    np.testing.assert_array_equal(read_image(written(tmp_path, png_bytes(image, mode))), image)


def test_image_refusals(tmp_path, rng):
    image = rng.integers(0, 256, (9, 8, 3), np.uint8)
    refusal(read_image, written(tmp_path, ppm_bytes(image)[:-1]), "truncated", "8 x 9", "need 216", "found 215")
    refusal(read_image, written(tmp_path, b"P6 8 9"), "PPM header")
    refusal(read_image, written(tmp_path, b"P6 0 9 255\n"), "0 x 9")
    refusal(read_image, written(tmp_path, b"P6 8 9 65535\n" + bytes(432)), "8-bit", "65535")
    refusal(read_image, written(tmp_path, b"P6 999999999 999999999 255\n"), "truncated")
    refusal(read_image, written(tmp_path, png_bytes(image)[:-30]))
    refusal(read_image, written(tmp_path, b"GIF89a whatever"), "PPM (P6) or PNG", "GIF89a")
    deep = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep, "PNG")
    refusal(read_image, written(tmp_path, deep.getvalue()), "8-bit PNG")
    refusal(read_image, written(tmp_path, promising_png(png_bytes(image), 50_000, 50_000)), "exceeds limit")
    large = promising_png(png_bytes(image), 4097, 4096)  # more than 2^24 pixels, which Pillow would take
    refusal(read_image, written(tmp_path, large), "ordinary size", "mode RGB", "4097 x 4096")


# --- GTSRB ---


TABLE = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n00000.ppm;53;54;6;5;48;49;16\n"


def test_sign_table_variants(tmp_path):
    expected = Sign("00000.ppm", (53, 54), (6, 5, 48, 49), 16)
    assert read_sign_table(written(tmp_path, TABLE.encode())) == [expected]
    assert read_sign_table(written(tmp_path, TABLE.replace("\n", "\r\n").encode("utf-8-sig"))) == [expected]
    without = TABLE.replace(";ClassId", "").replace(";16", "")
    assert read_sign_table(written(tmp_path, without.encode())) == [expected._replace(label=None)]
    other = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n53,54,6,5,48,49,16,Train/16/a.png\n"
    assert read_sign_table(written(tmp_path, other.encode())) == [expected._replace(file="Train/16/a.png")]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Roi.X2", "Roi", ["no column Roi.X2"]),
        ("Filename", "Name", ["no column Filename"]),
        (";48;", ";x;", ["line 2", "whole numbers"]),
        (";48;", ";4_8;", ["line 2", "whole numbers"]),
        (";49;16", "", ["line 2", "whole numbers"]),
        (";48;", ";54;", ["line 2", "region of interest", "53 x 54"]),
        (";6;", ";48;", ["line 2", "region of interest"]),
        ("00000.ppm", "../00000.ppm", ["line 2", "file name"]),
        ("00000.ppm", "/etc/passwd", ["line 2", "file name"]),
        (TABLE, "", ["no column"]),
    ],
)
def test_sign_table_refusals(tmp_path, old, new, words):
    refusal(read_sign_table, written(tmp_path, TABLE.replace(old, new).encode()), *words)


def test_cut_sign_is_crop_then_bilinear_resize(rng):
    image = rng.integers(0, 256, (30, 50, 3), np.uint8)
    region = image[5:20, 6:43]
    expected = np.asarray(Image.fromarray(region).resize((32, 32), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(cut_sign(image, Sign("", (50, 30), (6, 5, 43, 20), 0)), expected)


def test_cut_sign_scales_the_region_of_a_resized_image(rng):
    original = sign_image(rng, 64, 48, (16, 12, 56, 36))
    resized = original[::2, ::2]
    cut = cut_sign(resized, Sign("", (64, 48), (16, 12, 56, 36), 0))
    assert cut.shape == (3, 32, 32)
    assert (cut == 200).all()


def test_cut_sign_with_a_fractional_region_takes_nothing_from_outside():
    image = np.zeros((32, 32, 3), np.uint8)
    image[4:29, 4:29] = 200
    # 4.27 to 28.44 of 32 pixels: inside the bright square, whose dark surroundings must not be seen.
    assert (cut_sign(image, Sign("", (45, 45), (6, 6, 40, 40), 0)) == 200).all()


def test_cut_sign_leaves_a_cut_image_whole_only_on_request(rng):
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    sign = Sign("", (42, 42), (5, 5, 37, 37), 0)
    np.testing.assert_array_equal(cut_sign(image, sign, may_be_cut=True), image.transpose(2, 0, 1))
    assert not np.array_equal(cut_sign(image, sign), image.transpose(2, 0, 1))


# --- Whatever the bytes are, nothing but DataError comes out ---


def mutation_cases(rng):
    small = rng.integers(0, 256, (3, 4, 5), np.uint8)
    image = rng.integers(0, 256, (6, 7, 3), np.uint8)
    idx = idx_bytes(small)
    return {
        "idx": (read_idx, idx),
        "idx.gz": (read_idx, gzip.compress(idx)),
        "cifar": (read_cifar10, cifar_bytes(rng.integers(0, 256, (1, 3, 32, 32), np.uint8), [3])),
        "ppm": (read_image, ppm_bytes(image, "# comment\n")),
        "png": (read_image, png_bytes(image)),
        "npy": (read_samples, npy_bytes(rng.random((4, 3)))),
        "npz": (read_samples, npz_bytes(X=rng.random((4, 3)))),
        "npz compressed": (read_samples, npz_bytes(compressed=True, X=rng.random((4, 3)))),
        "strings": (lambda stream: read_array(stream).tolist(), npy_bytes(np.array(["cat", "dog"]))),
        "csv": (read_sign_table, TABLE.encode()),
    }


@pytest.mark.parametrize("case", mutation_cases(np.random.default_rng(0)))
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_mutated_files_give_a_data_error_or_data(rng, case):
    read, content = mutation_cases(rng)[case]
    assert read(io.BytesIO(content)) is not None
    refusals = []
    for mutant in mutations(rng, content, 400):
        try:
            read(io.BytesIO(mutant))
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) > 60
    assert not [message for message in refusals if "\n" in message]
