"""Download of the data sets from their official addresses.

A file grows under the name `<file>.part` and takes its own name only when it is complete and has passed its check, so
that whatever has the right name is right. An interrupted download goes on where it stopped, and of two at once the
second waits for the first. A server can make us wait only so long, and give us only so much: see `download`.
"""

import hashlib
import http.client
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..files.atomic import locked
from ..files.streams import CHUNK, data_errors, open_zip
from ..places import cache_folder
from ..version import __version__
from .datasets import CIFAR10_ARCHIVE, MNIST_FILES, data_bases
from .readers import read_idx

Report = Callable[[int, int | None], None]

_SLOWEST = 1000  # bytes a second: whoever sends fewer is as good as silent
_LONGEST_PAUSE = 60.0  # seconds that a server's Retry-After may ask for


class Source(NamedTuple):
    """Where a data set comes from: addresses, tried in turn, and its files with the check that each must pass.

    largest: bytes that no file of it has.
    """

    urls: tuple[str, ...]
    files: dict[str, Callable[[Path], object]]  # the check raises DataError
    largest: int


def _check_md5(path, md5):
    digest = hashlib.md5(usedforsecurity=False)
    with data_errors(path), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise DataError(f"{path}: expected MD5 {md5[:16]}..., found {digest.hexdigest()[:16]}...")


def _check_zip(path, member):
    """Nobody publishes checksums of GTSRB's archives; but a zip file carries a CRC of everything inside it."""
    with data_errors(path), path.open("rb") as stream, open_zip(stream, path) as archive:
        if not any(name.endswith(member) for name in archive.namelist()):
            raise DataError(f"{path}: expected a zip archive with {member}")
        if (damaged := archive.testzip()) is not None:
            raise DataError(f"{path}: {damaged} is damaged")


SOURCES = {
    "mnist": Source(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {f"{file}.gz": partial(read_idx, sha256=sha256) for file, sha256 in MNIST_FILES.items()},
        largest=1 << 24,
    ),
    "cifar10": Source(
        ("https://www.cs.toronto.edu/~kriz/",),
        {CIFAR10_ARCHIVE: partial(_check_md5, md5="c32a1d4ab5d03f1284b67883e8d13530")},
        largest=1 << 28,
    ),
    "gtsrb": Source(
        ("https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/",),
        {
            "GTSRB_Final_Training_Images.zip": partial(_check_zip, member="Final_Training/Images/00014/GT-00014.csv"),
            "GTSRB_Final_Test_Images.zip": partial(_check_zip, member="Final_Test/Images/00000.ppm"),
            "GTSRB_Final_Test_GT.zip": partial(_check_zip, member="GT-final_test.csv"),
        },
        largest=1 << 29,
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
        download(addresses, folder / file, check, on_progress, timeout, attempts, pause, SOURCES[name].largest, on_wait)
    return folder


def download(
    urls: Iterable[str],
    target: Path,
    check: Callable[[Path], object],
    on_progress: Report | None = None,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
    largest: int | None = None,
    on_wait: Callable[[str], object] | None = None,
) -> None:
    """Download one file, from the first of `urls` that has it, unless `target` is there and passes `check`.

    check(path): raises DataError when the content is wrong. on_progress(done_bytes, total_bytes or None): called as
    bytes arrive. timeout: seconds without a byte, or with fewer than 1000 bytes for each. attempts: connections per
    address, `pause` seconds apart (doubling), or as long as the server asks for, up to a minute. largest: bytes of
    which no more are taken. on_wait(message): called before each pause, with the reason. A file that arrives damaged is
    asked for once more, when all other addresses were tried.
    Raises DataError with every address and its reason; an incomplete `<target>.part` stays for the next time, a damaged
    one is deleted.
    """
    with locked(target.parent):
        if target.exists() and _passes(check, target):
            return  # else it is replaced below, once there is something better
        part, reasons = target.with_name(target.name + ".part"), {}
        waiting = list(urls)
        for url in waiting:
            try:
                _download_from(url, part, check, on_progress, timeout, attempts, pause, largest, on_wait)
            except _Failure as failure:
                if isinstance(failure, _Damaged) and url not in reasons:
                    waiting.append(url)
                reasons[url] = f"{url}: {failure}"
            else:
                with data_errors(target):
                    os.replace(part, target)
                return
    why = "; ".join(reasons.values()) or "no address given"
    raise DataError(f"{target.name} cannot be downloaded: {why}; a copy that you have goes by hand to {target}")


def _passes(check, path):
    try:
        check(path)
    except DataError:
        return False
    return True


class _Failure(Exception):  # noqa: N818
    """Why one connection, or one address, did not give the file.

    final: another attempt would not help.   wait: seconds that the server asks for before another one.
    """

    def __init__(self, reason, final=False, wait=0.0):
        super().__init__(str(reason) or type(reason).__name__)
        self.final, self.wait = final, wait


class _Misplaced(_Failure):
    """The server answered with another part of the file than asked for: only a fresh start helps."""


class _Damaged(_Failure):
    """A whole file came that is not the right one."""


def _download_from(url, part, check, on_progress, timeout, attempts, pause, largest, on_wait):
    """Get `part` complete and checked from one address, or raise _Failure."""
    failure = None
    for attempt in range(max(1, attempts)):
        if failure:
            seconds = max(pause * 2 ** (attempt - 1), min(failure.wait, _LONGEST_PAUSE))
            if on_wait:
                on_wait(f"{url}: {failure}; once more in {seconds:g} s")
            time.sleep(seconds)
        resumed = part.exists() and part.stat().st_size > 0
        try:
            _receive(url, part, on_progress, timeout, largest)
            check(part)
            return
        except DataError as error:
            # An old beginning may not fit the new end: the address or the file changed. Then a fresh start may help.
            part.unlink(missing_ok=True)
            why = str(error).removeprefix(f"{part}: ")
            failure = _Damaged(f"the downloaded file was damaged and is deleted ({why})", final=not resumed)
        except _Failure as error:
            failure = error
            if isinstance(error, _Misplaced):
                part.unlink(missing_ok=True)
        if failure.final:
            break
    raise failure


def _receive(url, part, on_progress, timeout, largest):
    """Append to `part` what the server still has to give. _Failure unless the file is then as long as promised."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"minisvdd/{__version__}"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        with _Answer(urllib.request.Request(url, headers=headers), timeout) as answer:
            start, total = _span(answer.head(), done)
            _refuse_large(total or 0, largest, part)
            for done in _append(answer, part, start):
                _refuse_large(done, largest, part)
                if on_progress:
                    on_progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:
            return  # nothing lies beyond what we have: it is complete, or not this file, which the check will tell
        final = 400 <= error.code < 500 and error.code not in (408, 429)
        raise _Failure(error, final, _seconds(error.headers.get("Retry-After"))) from None
    except urllib.error.URLError as error:
        raise _Failure(error.reason) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Failure(error) from None
    except ValueError as error:  # not a URL
        raise _Failure(error, final=True) from None
    if total is not None and done != total:
        raise _Failure(f"the connection ended after {done} of {total} bytes")


class _Answer:
    """What a server answers, read in a thread of its own: whoever waits for it decides for how long.

    urllib's timeout begins anew with every byte: a server that sends one now and then would keep us for ever.
    """

    def __init__(self, request, timeout):
        self._request, self._timeout = request, timeout
        self._arrived, self._left = queue.Queue(maxsize=8), threading.Event()

    def __enter__(self):
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._left.set()  # the thread ends with its next chunk, or by the connection's timeout

    def head(self):
        """The response: its status and headers."""
        return self._next()

    def chunks(self):
        """Its content, as it arrives. TimeoutError from a server that is slower than 1000 bytes a second."""
        since, size = time.monotonic(), 0
        while chunk := self._next():
            yield chunk
            size, seconds = size + len(chunk), time.monotonic() - since
            if seconds > self._timeout:
                if size < _SLOWEST * seconds:
                    raise TimeoutError(f"too slow: {size} bytes in {seconds:.0f} s")
                since, size = time.monotonic(), 0

    def _next(self):
        try:
            item = self._arrived.get(timeout=2 * self._timeout)
        except queue.Empty:
            raise TimeoutError("timed out") from None
        if isinstance(item, Exception):
            raise item
        return item

    def _read(self):
        try:
            with urllib.request.urlopen(self._request, timeout=self._timeout) as response:
                self._put(response)
                while not self._left.is_set() and (chunk := response.read1(CHUNK)):  # a lost connection costs nothing
                    self._put(chunk)
                self._put(b"")
        except Exception as error:
            self._put(error)

    def _put(self, item):
        while not self._left.is_set():
            try:
                return self._arrived.put(item, timeout=0.1)
            except queue.Full:
                continue


def _seconds(retry_after):
    """What a Retry-After asks for: a number of seconds, or the date until which to wait; 0 for neither."""
    if retry_after is None or retry_after.isdecimal():
        return float(retry_after or 0)
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return 0.0


def _refuse_large(size, largest, part):
    """No more than the table of sources promises: a disk may be full before an endless file ends."""
    if largest is not None and size > largest:
        part.unlink(missing_ok=True)
        raise _Failure(f"expected at most {largest} bytes, found {size} or more", final=True)


def _span(response, done):
    """(first byte, total) of a response: where its content belongs in the file; total is None if nobody says."""
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span and int(span[1]) == done:
            return done, None if span[2] == "*" else int(span[2])
        raise _Misplaced(f"expected the bytes from {done}, got '{response.headers.get('Content-Range', '')}'")
    length = response.headers.get("Content-Length", "")  # the whole file: the server knows no ranges
    return 0, int(length) if length.isdecimal() else None


def _append(answer, part, done):
    """Write what arrives behind the first `done` bytes of `part`, and yield the new length each time."""
    try:
        file = part.open("ab" if done else "wb", buffering=0)
    except OSError as error:
        raise _Failure(f"{part} cannot be written: {error.strerror}", final=True) from None
    with file:
        yield done
        for chunk in answer.chunks():
            rest = memoryview(chunk)
            while rest:
                try:
                    rest = rest[file.write(rest) :]
                except OSError as error:  # a full disk is not the server's fault
                    raise _Failure(f"{part} cannot be written: {error.strerror}", final=True) from None
            done += len(chunk)
            yield done
