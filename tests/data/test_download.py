import gzip
import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
from helpers_data import REAL_DATA, gtsrb_test_files, gtsrb_training_files, needs_data, one_line_error, zip_bytes
from helpers_http import Server

from minisvdd.data.datasets import load_dataset
from minisvdd.data.download import _check_md5, download, fetch
from minisvdd.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def server():
    server = Server({"file.bin": CONTENT})
    yield server
    server.close()


@pytest.fixture
def mirror():
    server = Server({"file.bin": CONTENT})
    yield server
    server.close()


def check(path):
    if Path(path).read_bytes() != CONTENT:
        raise DataError(f"{path}: expected the right content")


def get(target, *servers, **options):
    options = {"timeout": 5, "attempts": 4, "pause": 0} | options
    download([f"{server.url}/file.bin" for server in servers], target, check, **options)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "folder" / "file.bin"


def part_of(target):
    return target.with_name(target.name + ".part")


def assert_only(target):
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


# --- When all goes well ---


def test_download_with_progress(server, target):
    calls = []
    get(target, server, on_progress=lambda done, total: calls.append((done, total)))
    assert_only(target)
    assert {total for _, total in calls} == {len(CONTENT)}
    amounts = [done for done, _ in calls]
    assert (amounts[0], amounts[-1]) == (0, len(CONTENT))
    assert amounts == sorted(amounts)


def test_a_valid_file_is_not_downloaded_again_and_an_invalid_one_is_replaced(server, target):
    get(target, server)
    get(target, server)
    assert len(server.requests) == 1
    target.write_bytes(b"damaged")
    get(target, server)
    assert_only(target)


def test_an_invalid_file_stays_until_there_is_a_better_one(server, target):
    target.parent.mkdir(parents=True)
    target.write_bytes(b"damaged")
    server.faults = [404]
    one_line_error(lambda: get(target, server), "404")
    assert target.read_bytes() == b"damaged"


def test_nothing_under_the_final_name_before_the_end(server, target):
    seen = []
    get(target, server, on_progress=lambda done, total: seen.append(target.exists()))
    assert seen
    assert not any(seen)


# --- Interruptions ---


@pytest.mark.parametrize("fault", ["truncate", "reset", "stall"])
def test_interrupted_downloads_are_resumed(server, target, fault):
    server.faults = [fault, fault]
    amounts = []
    get(target, server, timeout=0.3, on_progress=lambda done, total: amounts.append(done))
    assert_only(target)
    first, second, third = server.ranges()
    assert first is None
    assert 0 < second < third < len(CONTENT)
    assert amounts == sorted(amounts)  # no byte was asked for twice


@pytest.mark.parametrize("fault", [500, 503, 429, "refuse"])
def test_passing_trouble_is_tried_again(server, target, fault):
    server.faults = [fault]
    get(target, server)
    assert_only(target)
    assert len(server.requests) == 2


def test_unfinished_download_is_kept_and_resumed_later(server, target):
    server.faults = ["truncate"] * 3
    one_line_error(lambda: get(target, server, attempts=3), server.url, "file.bin", f"of {len(CONTENT)} bytes")
    assert not target.exists()
    kept = part_of(target).stat().st_size
    assert kept == len(CONTENT) * 7 // 8
    get(target, server)
    assert server.ranges()[-1] == kept
    assert_only(target)


def test_interrupt_by_the_user_leaves_a_part_that_is_resumed(server, target):
    def interrupt(done, total):
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(target, server, on_progress=interrupt)
    assert not target.exists()
    get(target, server)
    assert server.ranges()[-1] > 0
    assert_only(target)


def test_slow_server_times_out(server, target):
    server.faults = ["stall"] * 2
    start = time.perf_counter()
    one_line_error(lambda: get(target, server, timeout=0.2, attempts=2), server.url, "timed out")
    assert time.perf_counter() - start < 20
    assert part_of(target).exists()


# --- A .part that does not fit ---


@pytest.mark.parametrize(("fault", "requests"), [("ignore range", 2), ("no length", 2), ("wrong range", 3)])
def test_servers_that_do_not_resume(server, target, fault, requests):
    server.faults = ["truncate"] + 3 * [fault]
    get(target, server)
    assert_only(target)
    assert len(server.requests) == requests  # no attempt is wasted on joining what does not fit


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 10])
def test_foreign_part_is_thrown_away(server, target, size):
    """The file changed since, or the other beginning was another server's; at full size the answer is 416."""
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(bytes(size))
    get(target, server)
    assert server.ranges() == [size, None]
    assert_only(target)


def test_complete_part_is_used(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(CONTENT)
    get(target, server)
    assert server.ranges() == [len(CONTENT)]
    assert_only(target)


# --- Failures ---


def test_corrupted_download_is_deleted_and_reported(server, target):
    server.faults = ["corrupt"] * 4
    one_line_error(lambda: get(target, server), server.url, "damaged", "expected the right content")
    assert list(target.parent.iterdir()) == []
    assert len(server.requests) == 2, "a flipped bit may be right the next time, but not a file"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_final_refusal_is_not_repeated(server, target, status):
    server.faults = [status] * 4
    one_line_error(lambda: get(target, server), f"{server.url}/file.bin", status)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [404, 500, "refuse", "corrupt", "truncate"])
def test_next_mirror_takes_over(server, mirror, target, fault):
    server.faults = [fault] * 4
    get(target, server, mirror)
    assert_only(target)
    assert mirror.requests


def test_every_address_is_named_with_its_reason(server, mirror, target):
    server.faults, mirror.faults = [403], [500] * 4
    one_line_error(lambda: get(target, server, mirror), server.url, "403", mirror.url, "500")


def test_nobody_listens(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        one_line_error(lambda: download([url], target, check, attempts=2, pause=0), url, "refused")


@pytest.mark.parametrize("url", ["no-address", "http://127.0.0.1:bad/x", "http://127.0.0.1:9\n/x", "gopher://x/y"])
def test_bad_addresses(target, url):
    one_line_error(lambda: download([url], target, check, attempts=1, pause=0), "cannot be downloaded")


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    one_line_error(lambda: get(tmp_path / "file" / "file.bin", server), tmp_path / "file", "cannot be created")
    part_of(tmp_path / "file.bin").mkdir()
    one_line_error(lambda: get(tmp_path / "file.bin", server), "file.bin.part", "cannot be written")


# --- Servers that nobody should have to wait for ---


@pytest.mark.parametrize("fault", ["drip", "drip headers", "drip chunks"])
def test_a_server_that_drips_is_left_for_the_next_one(server, mirror, target, fault):
    server.faults = [fault]
    start = time.perf_counter()
    get(target, server, mirror, timeout=0.4, attempts=1)
    assert time.perf_counter() - start < 20
    assert_only(target)


@pytest.mark.parametrize("fault", ["foreign range", "no range"])
def test_a_part_that_nobody_asked_for_is_asked_for_anew_and_of_the_next_address(server, mirror, target, fault):
    server.faults = [fault] * 4
    get(target, server, mirror)
    assert_only(target)
    assert len(server.requests) == 4
    server.faults = [fault]
    target.unlink()
    get(target, server)
    assert_only(target)


@pytest.mark.parametrize("fault", [None, "no length", "truncate"])
def test_no_more_is_taken_than_the_source_may_have(server, target, fault):
    server.faults = [fault]
    one_line_error(lambda: get(target, server, largest=len(CONTENT) - 1), server.url, f"at most {len(CONTENT) - 1}")
    assert list(target.parent.iterdir()) == []
    get(target, server, largest=len(CONTENT))
    assert_only(target)


@pytest.mark.parametrize("given", ["1", "date"])
def test_a_server_says_when_to_come_again(server, target, given):
    server.faults, server.retry_after = [503], given
    if given == "date":
        server.retry_after = formatdate(time.time() + 2, usegmt=True)  # whole seconds
    start = time.perf_counter()
    get(target, server)
    assert 0.9 < time.perf_counter() - start < 20
    assert_only(target)


def test_nobody_waits_for_hours_or_for_nonsense(server, target, monkeypatch):
    pauses = []
    monkeypatch.setattr("minisvdd.data.download.time.sleep", pauses.append)
    for given in ("9" * 400, "soon", "Wed, 21 Oct 2015 07:28:00 GMT"):
        server.faults, server.retry_after = [429], given
        get(target, server, pause=0.5)
        target.unlink()
    assert [seconds for seconds in pauses if seconds != 0.05] == [60, 0.5, 0.5]  # 0.05: the server's own


def test_a_flipped_bit_is_asked_for_again_when_the_other_addresses_were_tried(server, mirror, target):
    server.faults, mirror.faults = ["corrupt"], [404]
    get(target, server, mirror)
    assert_only(target)
    assert len(server.requests) == 2


def test_two_at_once_fetch_one_file(server, target):
    server.faults = ["truncate"]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(get, target, server) for _ in range(4)]:
            done.result()
    assert_only(target)
    assert len(server.requests) == 2


# --- fetch ---


@pytest.fixture
def gtsrb_server():
    rng = np.random.default_rng(0)
    test, classes = gtsrb_test_files(rng)
    archives = {"Training_Images": gtsrb_training_files(rng), "Test_Images": test, "Test_GT": classes}
    server = Server({f"GTSRB_Final_{name}.zip": zip_bytes(files) for name, files in archives.items()})
    yield server
    server.close()


def test_fetched_data_set_is_found_by_load_dataset(gtsrb_server, tmp_path, monkeypatch):
    monkeypatch.delenv("MINISVDD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = fetch("gtsrb", urls=gtsrb_server.url, pause=0)
    assert folder == tmp_path / "cache" / "minisvdd" / "gtsrb"
    assert len(load_dataset("gtsrb").one_class("stop").train) == 3
    fetch("gtsrb", urls=[gtsrb_server.url + "/"], pause=0)
    assert len(gtsrb_server.requests) == 3


def test_fetch_folder(gtsrb_server, tmp_path, monkeypatch):
    monkeypatch.setenv("MINISVDD_DATA", str(tmp_path / "environment"))
    assert fetch("gtsrb", urls=gtsrb_server.url) == tmp_path / "environment" / "gtsrb"
    assert fetch("gtsrb", tmp_path / "mine", urls=gtsrb_server.url) == tmp_path / "mine" / "gtsrb"
    assert fetch("gtsrb", tmp_path / "gtsrb", urls=gtsrb_server.url) == tmp_path / "gtsrb"


def test_fetch_checks_archives_of_signs(gtsrb_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "GTSRB_Final_Test_Images.zip"
    whole = gtsrb_server.files[name]
    for wrong, word in (
        (whole[:-30], "zip"),
        (zip_bytes({"other": b""}), "Final_Test/Images/00000.ppm"),
        (whole[:200] + bytes([whole[200] ^ 255]) + whole[201:], "damaged"),
    ):
        gtsrb_server.files[name] = wrong
        one_line_error(lambda: fetch("gtsrb", ".", urls=gtsrb_server.url, pause=0), name, word)
        assert [path.name for path in (tmp_path / "gtsrb").iterdir()] == ["GTSRB_Final_Training_Images.zip"]


@pytest.mark.parametrize(
    ("name", "file", "word"),
    [("mnist", "train-images-idx3-ubyte.gz", "SHA256"), ("cifar10", "cifar-10-binary.tar.gz", "MD5")],
)
def test_fetch_requires_the_official_content(tmp_path, name, file, word):
    content = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    server = Server({file: content})
    one_line_error(lambda: fetch(name, tmp_path, urls=server.url, pause=0), file, server.url, word)
    server.close()
    assert list((tmp_path / name).iterdir()) == []


def test_fetch_of_unknown_names(tmp_path):
    one_line_error(lambda: fetch("digits", tmp_path), "digits", "scikit-learn", error=ValueError)
    one_line_error(lambda: fetch("imagenet", tmp_path), "mnist, cifar10, gtsrb", error=ValueError)


@pytest.mark.data
@needs_data
def test_fetch_of_real_mnist(tmp_path):
    folder = next((f for f in (Path(REAL_DATA), Path(REAL_DATA) / "mnist") if list(f.glob("*-ubyte.gz"))), None)
    if folder is None:
        pytest.skip(f"no MNIST in {REAL_DATA}")
    server = Server({path.name: path.read_bytes() for path in folder.glob("*-ubyte.gz")})
    server.faults = ["truncate", "reset"]
    assert fetch("mnist", tmp_path, urls=server.url, pause=0) == tmp_path / "mnist"
    server.close()
    assert len(load_dataset("mnist", tmp_path).train_images) == 60000
    for path in folder.glob("*-ubyte.gz"):
        fetched = (tmp_path / "mnist" / path.name).read_bytes()
        assert hashlib.sha256(fetched).digest() == hashlib.sha256(path.read_bytes()).digest()


def test_pauses_between_attempts_double(server, target, monkeypatch):
    pauses = []
    monkeypatch.setattr("minisvdd.data.download.time.sleep", pauses.append)
    server.faults = [500] * 4
    said = []
    one_line_error(
        lambda: get(target, server, attempts=4, pause=0.25, on_wait=said.append), "500", f"by hand to {target}"
    )
    assert pauses == [0.25, 0.5, 1.0]
    assert [text.rpartition("; ")[2] for text in said] == [f"once more in {pause:g} s" for pause in pauses]
    assert all(server.url in text and "500" in text for text in said)


def test_fetch_hands_on_attempts_and_pause(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr("minisvdd.data.download.time.sleep", pauses.append)
    server.faults = [500] * 3
    said = []
    options = {"attempts": 3, "pause": 0.25, "on_wait": said.append}
    one_line_error(lambda: fetch("cifar10", tmp_path, urls=server.url, **options), "500", str(tmp_path / "cifar10"))
    assert pauses == [0.25, 0.5]
    assert len(said) == 2


def test_a_file_must_have_its_md5(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    _check_md5(path, hashlib.md5(CONTENT).hexdigest())
    one_line_error(lambda: _check_md5(path, 32 * "0"), path, "expected MD5 000", hashlib.md5(CONTENT).hexdigest()[:16])
