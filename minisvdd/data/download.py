"""Download of the data sets from their official addresses.

A file grows under the name `<file>.part` and takes its own name only when it is complete and has passed its check, so
that whatever has the right name is right. An interrupted download goes on where it stopped.
"""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..files.streams import CHUNK, data_errors
from ..places import cache_folder
from ..version import __version__
from .datasets import CIFAR10_ARCHIVE, MNIST_FILES, data_bases
from .readers import read_idx

Report = Callable[[int, int | None], None]


class Source(NamedTuple):
    """Where a data set comes from: addresses, tried in turn, and its files with the check that each must pass."""

    urls: tuple[str, ...]
    files: dict[str, Callable[[Path], object]]  # the check raises DataError


def _check_md5(path, md5):
    digest = hashlib.md5(usedforsecurity=False)
    with data_errors(path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise DataError(f"{path}: expected MD5 {md5}, found {digest.hexdigest()}")


def _check_zip(path, member):
    """Nobody publishes checksums of GTSRB's archives; but a zip file carries a CRC of everything inside it."""
    with data_errors(path), zipfile.ZipFile(path) as archive:
        if not any(name.endswith(member) for name in archive.namelist()):
            raise DataError(f"{path}: expected a zip archive with {member}")
        if (damaged := archive.testzip()) is not None:
            raise DataError(f"{path}: {damaged} is damaged")


SOURCES = {
    "mnist": Source(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {f"{file}.gz": partial(read_idx, sha256=sha256) for file, sha256 in MNIST_FILES.items()},
    ),
    "cifar10": Source(
        ("https://www.cs.toronto.edu/~kriz/",),
        {CIFAR10_ARCHIVE: partial(_check_md5, md5="c32a1d4ab5d03f1284b67883e8d13530")},
    ),
    "gtsrb": Source(
        ("https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/",),
        {
            "GTSRB_Final_Training_Images.zip": partial(_check_zip, member="Final_Training/Images/00014/GT-00014.csv"),
            "GTSRB_Final_Test_Images.zip": partial(_check_zip, member="Final_Test/Images/00000.ppm"),
            "GTSRB_Final_Test_GT.zip": partial(_check_zip, member="GT-final_test.csv"),
        },
    ),
}


def fetch(
    name: str,
    data_dir=None,
    *,
    urls: str | Iterable[str] | None = None,
    on_progress: Report | None = None,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
    on_wait: Callable[[str], object] | None = None,
) -> Path:
    """Download "mnist", "cifar10" or "gtsrb" to where `load_dataset` finds it, and return the folder.

    data_dir: the files go to data_dir/<name> (data_dir itself if it has that name); without it to $MINISVDD_DATA or the
    cache folder. urls: address or addresses to use instead of the official ones; file names are appended.
    The other arguments are those of `download`. Files that are there already and pass their check are left alone.
    Raises ValueError for another name, DataError when a file cannot be had from any address.
    """
    if name not in SOURCES:
        hint = ": it comes with scikit-learn" if name == "digits" else ""
        raise ValueError(f"name={name!r}: nothing to download{hint}; expected {', '.join(SOURCES)}")
    base = Path(data_dir) if data_dir is not None else (data_bases() or [cache_folder()])[0]
    folder = base if base.name == name else base / name
    bases = SOURCES[name].urls if urls is None else [urls] if isinstance(urls, str) else list(urls)
    for file, check in SOURCES[name].files.items():
        addresses = [f"{url.rstrip('/')}/{file}" for url in bases]
        download(addresses, folder / file, check, on_progress, timeout, attempts, pause, on_wait)
    return folder


def download(
    urls: Iterable[str],
    target: Path,
    check: Callable[[Path], object],
    on_progress: Report | None = None,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
    on_wait: Callable[[str], object] | None = None,
) -> None:
    """Download one file, from the first of `urls` that has it, unless `target` is there and passes `check`.

    check(path): raises DataError when the content is wrong. on_progress(done_bytes, total_bytes or None): called as
    bytes arrive. timeout: seconds without a byte. attempts: connections per address, `pause` seconds apart (doubling).
    on_wait(message): called before each pause, with the reason.
    Raises DataError with every address and its reason; an incomplete `<target>.part` stays for the next time, a damaged
    one is deleted.
    """
    if target.exists():
        try:
            check(target)
            return
        except DataError:
            pass  # replaced below, once there is something better
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target.parent}: the folder cannot be created: {error.strerror}") from None
    part = target.with_name(target.name + ".part")
    reasons = []
    for url in urls:
        try:
            _download_from(url, part, check, on_progress, timeout, attempts, pause, on_wait)
        except _Failure as failure:
            reasons.append(" ".join(f"{url}: {failure}".split()))
        else:
            with data_errors(target):
                os.replace(part, target)
            return
    why = "; ".join(reasons) or "no address given"
    raise DataError(f"{target.name} cannot be downloaded: {why}; a copy that you have goes by hand to {target}")


class _Failure(Exception):  # noqa: N818
    """Why one connection, or one address, did not give the file. `final`: another attempt would not help."""

    def __init__(self, reason, final=False):
        super().__init__(str(reason) or type(reason).__name__)
        self.final = final


class _Misplaced(_Failure):
    """The server answered with another part of the file than asked for: only a fresh start helps."""


def _download_from(url, part, check, on_progress, timeout, attempts, pause, on_wait):
    """Get `part` complete and checked from one address, or raise _Failure."""
    for attempts_left in reversed(range(max(1, attempts))):
        resumed = part.exists() and part.stat().st_size > 0
        try:
            _receive(url, part, on_progress, timeout)
            check(part)
            return
        except DataError as error:
            # An old beginning may not fit the new end: the address or the file changed. Then a fresh start may help.
            part.unlink(missing_ok=True)
            failure = _Failure(f"the downloaded file was damaged and is deleted ({error})", final=not resumed)
        except _Failure as error:
            failure = error
            if isinstance(error, _Misplaced):
                part.unlink()
        if failure.final or not attempts_left:
            raise failure
        if on_wait:
            on_wait(f"{url}: {failure}; once more in {pause:g} s")
        time.sleep(pause)
        pause *= 2


def _receive(url, part, on_progress, timeout):
    """Append to `part` what the server still has to give. _Failure unless the file is then as long as promised."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"minisvdd/{__version__}"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            start, total = _span(response, done)
            for done in _append(response, part, start):
                if on_progress:
                    on_progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:
            return  # nothing lies beyond what we have: it is complete, or not this file, which the check will tell
        raise _Failure(error, final=400 <= error.code < 500 and error.code not in (408, 429)) from None
    except urllib.error.URLError as error:
        raise _Failure(error.reason) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Failure(error) from None
    except ValueError as error:  # not a URL
        raise _Failure(error, final=True) from None
    if total is not None and done != total:
        raise _Failure(f"the connection ended after {done} of {total} bytes")


def _span(response, done):
    """(first byte, total) of a response: where its content belongs in the file; total is None if nobody says."""
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span and int(span[1]) == done:
            return done, None if span[2] == "*" else int(span[2])
        raise _Misplaced(f"expected the bytes from {done}, got '{response.headers.get('Content-Range', '')}'")
    length = response.headers.get("Content-Length", "")  # the whole file: the server knows no ranges
    return 0, int(length) if length.isdecimal() else None


def _append(response, part, done):
    """Write what arrives behind the first `done` bytes of `part`, and yield the new length each time."""
    try:
        file = part.open("ab" if done else "wb", buffering=0)
    except OSError as error:
        raise _Failure(f"{part} cannot be written: {error.strerror}", final=True) from None
    with file:
        yield done
        while chunk := response.read1(CHUNK):  # as it arrives: a lost connection costs none of it
            rest = memoryview(chunk)
            while rest:
                try:
                    rest = rest[file.write(rest) :]
                except OSError as error:  # a full disk is not the server's fault
                    raise _Failure(f"{part} cannot be written: {error.strerror}", final=True) from None
            done += len(chunk)
            yield done
