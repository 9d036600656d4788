"""One picture: every kind of file that people have becomes the 8-bit array that a viewer shows, or one clear line."""

import os
import struct
import zlib

import numpy as np
import pytest
from helpers_data import one_line_error, png_bytes, promising_png
from PIL import Image

from minisvdd.data.pictures import check_size, inspect, read_picture


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def grey(rng):
    return rng.integers(0, 256, (20, 30), np.uint8)


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (20, 30, 3), np.uint8)


def saved(tmp_path, image, name, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(tmp_path / name, **options)
    return tmp_path / name


def one(path, *arguments):
    """The picture as (H, W) or (H, W, 3)."""
    array = read_picture(path, *arguments)
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    return array[0] if len(array) == 1 else array.transpose(1, 2, 0)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.TIFF", "a.ppm", "misnamed.jpg.png"])
def test_lossless_formats(tmp_path, rgb, name):
    path = saved(tmp_path, rgb, name)
    np.testing.assert_array_equal(one(path), rgb)
    assert inspect(path) == (20, 30, False)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pgm", "a.gif"])
def test_grey_formats(tmp_path, grey, name):
    path = saved(tmp_path, grey, name)
    np.testing.assert_array_equal(one(path, None, "grey"), grey)
    np.testing.assert_array_equal(one(path), np.dstack([grey] * 3))
    assert inspect(path) == (20, 30, True)


def test_jpeg(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (32, 1))
    path = saved(tmp_path, ramp, "a.jpg", quality=95)
    assert inspect(path) == (32, 64, True)
    assert np.abs(one(path, None, "grey").astype(int) - ramp).max() <= 4
    (tmp_path / "a.jpg").rename(tmp_path / "really_a_jpeg.png")
    assert read_picture(tmp_path / "really_a_jpeg.png").shape == (3, 32, 64)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_scaled_and_not_clipped(tmp_path, rng, name):
    deep = rng.integers(0, 65536, (20, 30)).astype(np.uint16)
    deep[0, :2] = 0, 65535
    path = saved(tmp_path, deep, name)
    np.testing.assert_array_equal(one(path, None, "grey"), np.rint(deep * (255 / 65535)))
    assert inspect(path).is_grey


@pytest.mark.parametrize("orientation", [1, 3])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_whose_white_is_zero(tmp_path, depth, orientation):
    """Of every depth, and turned or not."""
    stored = np.array([[0, 10_000], [40_000, 65_535]])
    shown = np.array([[255, 216], [99, 0]], np.uint8)
    values = stored.astype(np.uint16) if depth == 16 else shown  # whose negative Pillow writes
    path = saved(tmp_path, values, "a.tif", tiffinfo={262: 0, 274: orientation})
    with Image.open(path) as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_array_equal(one(path, None, "grey"), shown if orientation == 1 else np.rot90(shown, 2))


def test_pgm_of_10_bits(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 1023\n" + np.array([0, 511, 1023], ">u2").tobytes())
    np.testing.assert_array_equal(one(tmp_path / "a.pgm", None, "grey"), [[0, 127, 255]])


def test_palette_black_and_white_cmyk(tmp_path, rgb, grey):
    palette = Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE)
    path = saved(tmp_path, palette, "p.png")
    np.testing.assert_array_equal(one(path), np.asarray(palette.convert("RGB")))
    assert not inspect(path).is_grey
    of_greys = Image.fromarray(grey % 4)
    of_greys.putpalette([value for k in range(256) for value in 3 * (255 - k,)])
    path = saved(tmp_path, of_greys, "g.png")
    np.testing.assert_array_equal(one(path, None, "grey"), 255 - grey % 4)
    assert inspect(path).is_grey
    path = saved(tmp_path, Image.fromarray(grey).point(lambda v: 255 * (v > 99)).convert("1"), "1.png")
    np.testing.assert_array_equal(one(path, None, "grey"), np.where(grey > 99, 255, 0))
    plain = Image.fromarray(np.full((8, 8, 3), (200, 100, 50), np.uint8))
    for name in ("c.tif", "c.jpg"):
        path = saved(tmp_path, plain.convert("CMYK"), name)
        assert np.abs(one(path).astype(int) - np.asarray(plain)).max() <= 3
        assert not inspect(path).is_grey


def test_transparency_lies_on_white(tmp_path, rgb, grey):
    alpha = np.zeros((20, 30), np.uint8)
    alpha[:10] = 255
    alpha[0, 0] = 51
    path = saved(tmp_path, np.dstack([rgb, alpha]), "a.png")
    expected = np.where(alpha[..., None] == 255, rgb, 255).astype(float)
    expected[0, 0] = 0.2 * rgb[0, 0] + 0.8 * 255
    assert np.abs(one(path) - expected).max() <= 1
    path = saved(tmp_path, Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "la.png")
    assert (one(path, None, "grey")[10:] == 255).all()
    assert inspect(path).is_grey
    path = saved(tmp_path, Image.fromarray(grey), "trns.png", transparency=int(grey[3, 3]))
    np.testing.assert_array_equal(one(path, None, "grey"), np.where(grey == grey[3, 3], 255, grey))


def png_with(path, depth, kind, size, rows, transparent):
    """A PNG file of any depth, which Pillow cannot write. kind: 0 grey, 2 RGB; rows: bytes of each."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (b"IHDR", header), (b"tRNS", transparent), (b"IDAT", pixels), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))
    return path


@pytest.mark.parametrize(
    ("depth", "values", "shown"),
    [
        (16, [0, 1000, 40_000, 65_535], [0, 255, 156, 255]),
        (8, [0, 1, 40, 255], [0, 255, 40, 255]),
        (4, [0, 1, 9, 15], [0, 255, 153, 255]),
        (2, [0, 1, 2, 3], [0, 255, 170, 255]),
        (1, [0, 1, 0, 1], [0, 255, 0, 255]),
    ],
)
def test_the_transparent_grey_of_a_png_of_any_depth(tmp_path, depth, values, shown):
    """The second value is transparent; of 1 bit, whose other value is black, both ways."""
    packed = sum(value << depth * (3 - place) for place, value in enumerate(values))
    row = (packed << (-4 * depth) % 8).to_bytes(max(1, depth // 2), "big")
    path = png_with(tmp_path / "a.png", depth, 0, (4, 1), [row], struct.pack(">H", values[1]))
    np.testing.assert_array_equal(one(path, None, "grey"), [shown])
    if depth == 1:
        png_with(path, depth, 0, (4, 1), [row], struct.pack(">H", 0))
        np.testing.assert_array_equal(one(path, None, "grey"), [[255] * 4])


def test_the_transparent_colour_of_a_png_of_16_bits(tmp_path):
    colours = np.array([[0x1234, 0x5678, 0x9ABC], [0x5612, 0x1234, 0x0034]], ">u2")
    path = png_with(tmp_path / "a.png", 16, 2, (2, 1), [colours.tobytes()], colours[0].tobytes())
    np.testing.assert_array_equal(one(path), [[[255] * 3, [0x56, 0x12, 0]]])


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)],
)
def test_exif_orientation(tmp_path, name, orientation, turn):
    image = np.zeros((16, 32), np.uint8)
    image[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, image, name, exif=exif)
    shown = turn(image)
    assert np.abs(one(path, None, "grey").astype(int) - shown).max() <= 2
    assert inspect(path) == (*shown.shape, True)
    small = one(path, (shown.shape[0] // 2, shown.shape[1] // 2), "grey")
    assert np.abs(small.astype(int) - shown[::2, ::2]).mean() < 16


def test_exif_behind_the_pixels_of_a_png(tmp_path):
    """Where a program added it to a file that was there already."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, np.zeros((16, 32), np.uint8), "a.png", exif=exif)
    content = path.read_bytes()
    begin = content.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
    path.write_bytes(content[:begin] + content[end:-12] + content[begin:end] + content[-12:])
    assert inspect(path) == (32, 16, True)
    assert one(path, None, "grey").shape == (32, 16)


def test_resizing_averages(tmp_path, rng):
    """Every second pixel white: a resize that picks pixels gives black or white, one that averages gives grey."""
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    small = one(saved(tmp_path, stripes, "a.png"), (16, 8), "grey")
    assert small.shape == (16, 8)
    assert np.abs(small.astype(int) - 127.5).max() < 20
    np.testing.assert_array_equal(one(tmp_path / "a.png", (64, 64), "grey"), stripes)


def test_a_large_jpeg_is_decoded_small(tmp_path, monkeypatch):
    y, x = np.mgrid[:1024, :1536] / 1024
    smooth = np.uint8(255 * (0.5 + 0.25 * np.sin(5 * x) + 0.25 * np.cos(4 * y)))
    path = saved(tmp_path, smooth, "a.jpg", quality=95)
    sizes, load = [], Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: sizes.append(self.size) or load(self))
    small = one(path, (64, 96), "grey")
    assert max(max(size) for size in sizes) <= 192 * 2
    exact = np.asarray(Image.fromarray(smooth).resize((96, 64), Image.Resampling.BILINEAR))
    assert np.abs(small.astype(int) - exact).max() <= 6


# --- Refusals ---


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png"])
def test_several_pictures_in_a_file(tmp_path, grey, name):
    path = saved(tmp_path, grey, name, save_all=True, append_images=[Image.fromarray(255 - grey)])
    for read in (inspect, read_picture):
        one_line_error(lambda r=read: r(path), path, "expected one picture, found several")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.gif", "a.ppm"])
def test_truncated_files(tmp_path, rgb, name):
    path = saved(tmp_path, Image.fromarray(rgb).convert("L") if name == "a.gif" else rgb, name)
    content = path.read_bytes()
    for size in (0, 1, 10, len(content) // 2):
        path.write_bytes(content[:size])
        one_line_error(lambda: read_picture(path), path)


def test_no_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hello")
    one_line_error(lambda: read_picture(tmp_path / "a.png"), "a.png", "no picture of the formats PNG, JPEG")
    one_line_error(lambda: read_picture(tmp_path / "absent.png"), "absent.png", "no such file")
    one_line_error(lambda: read_picture(tmp_path), tmp_path, "found something else")


def test_numbers_whose_white_is_unknown(tmp_path, grey):
    path = saved(tmp_path, grey.astype(np.float32), "f.tif")
    one_line_error(lambda: inspect(path), path, "8 or 16 bits", "mode F")
    path = saved(tmp_path, grey.astype(np.int32), "i.tif")
    one_line_error(lambda: inspect(path), path, "8 or 16 bits", "found 32")


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (12_000, 10_000), (50_000, 50_000)])
def test_bombs_are_refused_by_their_header(tmp_path, rgb, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(promising_png(png_bytes(rgb), width, height))
    for read in (inspect, read_picture):
        one_line_error(lambda r=read: r(path), path)


def test_a_picture_is_believed_as_far_as_its_bytes_can_go(tmp_path, rgb):
    path = tmp_path / "picture.png"
    Image.new("L", (4000, 3000), 200).save(path)  # which deflate packs as tightly as anything
    assert (read_picture(path, (8, 8), "grey") == 200).all()
    path.write_bytes(promising_png(png_bytes(rgb), 4000, 3000))
    for read in (inspect, read_picture):
        one_line_error(lambda r=read: r(path), path, "found 4000 x 3000 in")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name in ("pipe.png", "zero.png"):
        one_line_error(lambda n=name: inspect(tmp_path / n), name, "a pipe or a device")
    one_line_error(lambda: inspect(tmp_path / "loop.png"), "loop.png", "symbolic links")


# --- Sizes ---


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, None), (64, (64, 64)), ("64", (64, 64)), ("48x64", (48, 64)), ((48, 64), (48, 64)), (np.int64(5), (5, 5))],
)
def test_sizes(size, expected):
    assert check_size(size) == expected


@pytest.mark.parametrize(
    "size", [0, -1, "a", "", "3x", "3x4x5", "0x5", (5, 0), (1, 2, 3), (), 2.5, True, 1 << 20, [None], 1e400]
)
def test_impossible_sizes(size):
    one_line_error(lambda: check_size(size), "size=", "expected a side such as 64", error=ValueError)
