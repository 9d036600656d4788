"""Options that several commands have, each with its one name, default and help text, and what follows from them."""

import argparse
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import backends
from ..data.folders import is_picture
from ..data.pictures import COLORS, ENDINGS
from ..experiments.protocols import CHOICES, PROTOCOLS, Protocol, acts_on, adjusted, get_protocol
from ..files.marks import check_free_of_pictures
from ..svdd.conformal import check_rate, holdout_size
from ..svdd.detector import THRESHOLDS
from ..svdd.svdd import OBJECTIVES, DeepSVDD

if TYPE_CHECKING:
    from ..data.split import Dataset

FALSE_ALARM_RATE, NU = DeepSVDD().false_alarm_rate, DeepSVDD().nu  # defaults of a detector that is trained


def add_backend(parser: argparse.ArgumentParser) -> None:
    """--backend."""
    parser.add_argument(
        "--backend",
        default="numpy",
        help="how operations run: plain (the formulas), numpy (quicker), cuda (our kernels on an NVIDIA GPU), "
        "emulator (the same on the CPU)",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """--precision, for commands with --backend."""
    parser.add_argument(
        "--precision",
        choices=["float32", "tf32"],
        default="float32",
        help="of products on a GPU: tf32 rounds a convolution's factors to 11 bits, for speed (default: %(default)s)",
    )


def backend_label(arguments: argparse.Namespace) -> str:
    """--backend with --precision, as `get_backend` takes it; ValueError for a backend that has no choice."""
    if arguments.precision == "float32":
        return str(arguments.backend)
    if arguments.backend in ("plain", "numpy"):
        raise ValueError(
            f"--precision {arguments.precision}: needs --backend cuda or emulator, not {arguments.backend}"
        )
    return f"{arguments.backend}:{arguments.precision}"


def add_check_kernels(parser: argparse.ArgumentParser) -> None:
    """--check-kernels, for commands with --backend."""
    parser.add_argument(
        "--check-kernels",
        action="store_true",
        help="let the emulator watch every load and store: several times slower",
    )


def add_ops(parser: argparse.ArgumentParser) -> None:
    """--ops, for commands with --backend."""
    parser.add_argument(
        "--ops",
        metavar="FILE.py",
        help="a Python file whose functions take the place of the operations of their names, such as conv2d_forward "
        "(it is run; --backend plain or numpy)",
    )


def start_backend(name: str, check_kernels: bool = False, ops: str | None = None) -> "backends.Backend":
    """The backend of that name or label, its kernels built; says so on stderr when that takes a while.

    check_kernels: --check-kernels.   ops: --ops.   Raises ValueError for either with a backend that has no use for it,
    and for an unknown name; DataError for a file without operations; KernelError when a GPU or compiler is missing.
    """
    if ops is not None:
        if name not in ("plain", "numpy"):
            raise ValueError(f"--ops: needs --backend plain or numpy, not {name}")
        from ..ops.own import load_operations

        return backends.HostBackend(name, load_operations(ops))
    kind, _, precision = name.partition(":")
    if check_kernels and kind != "emulator":
        raise ValueError(f"--check-kernels: needs --backend emulator, not {kind}")
    if kind == "emulator":
        backend = backends.EmulatorBackend(check_kernels, precision=precision or "float32")
    else:
        backend = backends.get_backend(name)
    if isinstance(backend, backends.KernelBackend):
        backend.prepare(lambda message: print(message, file=sys.stderr))
    return backend


def print_calls(backend: "backends.Backend") -> None:
    """With --ops: which functions of the file were really called."""
    if backend.readings:
        from ..ops.own import calls_of

        print(calls_of(backend.readings))


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """--data-dir, for commands that read a data set."""
    parser.add_argument(
        "--data-dir",
        help="folder with the data set (else $MINISVDD_DATA, else the cache folder); for files of your own after the "
        "working folder",
    )


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """--size and --color, for commands that decide how the pictures of a folder are read."""
    parser.add_argument(
        "--size",
        metavar="SIDE|HxW",
        help="of a folder's pictures, which are resized to it (default: their own if it is one, else their median)",
    )
    parser.add_argument(
        "--color", choices=COLORS, default="auto", help="of a folder's pictures; auto is grey if all of them are"
    )


def add_skip_damaged(parser: argparse.ArgumentParser) -> None:
    """--skip-damaged, for commands that read folders of pictures."""
    parser.add_argument("--skip-damaged", action="store_true", help="leave out a folder's pictures that cannot be read")


def check_skip_damaged(arguments: argparse.Namespace, data: str) -> None:
    """ValueError for --skip-damaged with data of which no picture is read."""
    if arguments.skip_damaged and Path(data).exists() and not (Path(data).is_dir() or is_picture(Path(data))):
        raise ValueError(f"--skip-damaged: only for folders of pictures, not for {data}")


def check_heatmaps(folder: str | Path) -> None:
    """ValueError for --heatmaps with a folder in which others' pictures lie."""
    check_free_of_pictures(folder, ENDINGS, "--heatmaps")


def check_out(arguments: argparse.Namespace, folder: str | Path) -> None:
    """ValueError for --out with a folder of --data's in which pictures of theirs lie, which ours could replace."""
    from ..data.datasets import DATASETS, own_path  # only now: not every command reads data

    if arguments.data in DATASETS:
        return
    data, out = own_path(arguments.data, arguments.data_dir).resolve(), Path(folder).resolve()
    if data == out or data in out.parents:
        check_free_of_pictures(folder, ENDINGS, "--out")


def load(arguments: argparse.Namespace) -> "Dataset":
    """The data that --data and the options above say. Errors as of `load_dataset`."""
    from ..data.datasets import load_dataset  # only now: not every command reads data

    return load_dataset(
        arguments.data,
        arguments.data_dir,
        size=arguments.size,
        color=arguments.color,
        skip_damaged=arguments.skip_damaged,
        verbose=verbosity(arguments),
    )


def print_notes(notes: Iterable[str]) -> None:
    """What the library decided about data of the user's own, a line each on stderr: it changes results, so --quiet or
    not."""
    for note in notes:
        print(f"minisvdd: {note}", file=sys.stderr)


def add_protocol(parser: argparse.ArgumentParser, default: str) -> None:
    """--protocol."""
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default=default, help="epochs, rates and weight decays")


_SCHEDULE = {  # what is adjusted in a protocol: type, least value, help
    "epochs": (int, 0, "epochs of Deep SVDD"),
    "pretrain_epochs": (int, 0, "epochs of the autoencoder before; 0: none"),
    "batch_size": (int, 2, "samples in a gradient step"),
    "learning_rate": (float, 0, "Adam's"),
}


_CHOICES = {name.replace(" ", "-"): name for name in CHOICES}  # as they are typed


def add_schedule(parser: argparse.ArgumentParser) -> None:
    """--epochs, --pretrain-epochs, --batch-size, --learning-rate: instead of the protocol's; --with: on top of it."""
    for name, (kind, _, text) in _SCHEDULE.items():
        unit = "N" if kind is int else "RATE"
        parser.add_argument(_option(name), type=kind, metavar=unit, help=f"{text} (default: the protocol's)")
    parser.add_argument(
        "--with",
        dest="choices",
        nargs="+",
        choices=list(_CHOICES),
        default=(),
        metavar="NAME",
        help=f"on top of the protocol, what the authors' first scripts do: some of {', '.join(_CHOICES)}",
    )


def _pixels(text: str) -> str | int:
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected auto or a number of pixels")
    return text if text == "auto" else int(text)


def add_patch_size(parser: argparse.ArgumentParser) -> None:
    """--patch-size, for images in which a defect is small."""
    parser.add_argument(
        "--patch-size",
        type=_pixels,
        default="auto",
        metavar="P",
        help="cut images into patches of P x P pixels, the worst of which is the image's score: for textures and small "
        "defects, as slow as there are patches; auto: 64 for images with a side above 256",
    )


def schedule_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `add_schedule`'s options give, by the names of `adjusted`. ValueError, naming the option, out of range."""
    given = {name: getattr(arguments, name) for name in _SCHEDULE}
    for name, (kind, least, _) in _SCHEDULE.items():
        if (value := given[name]) is not None and not (value >= least if kind is int else value > least):
            raise ValueError(
                f"{_option(name)} {value}: expected {'an integer >=' if kind is int else 'a number >'} {least}"
            )
    return {**given, "choices": [_CHOICES[name] for name in arguments.choices]}


def check_choices(arguments: argparse.Namespace, methods: Collection[str]) -> None:
    """ValueError for a name of --with that makes no difference to any of these methods."""
    for name in arguments.choices:
        if not acts_on(_CHOICES[name], methods):
            raise ValueError(f"--with {name}: has no effect on {', '.join(methods)}")


def protocol_of(arguments: argparse.Namespace, dataset: str, shape: tuple[int, ...]) -> Protocol:
    """What --protocol means for training samples of that shape, with what `add_schedule`'s options change in it."""
    check_rate(arguments.false_alarm_rate, "--false-alarm-rate")
    if arguments.threshold != "nu":  # no step is taken on what is held out
        held_out = holdout_size(shape[0], DeepSVDD().holdout, arguments.false_alarm_rate)
        shape = (shape[0] - held_out, *shape[1:])
    given = schedule_of(arguments)
    return adjusted(get_protocol(arguments.protocol, dataset, shape, arguments.patch_size), **given)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_objective(parser: argparse.ArgumentParser) -> None:
    """--objective: equation (4), one-class, or (3), soft-boundary."""
    parser.add_argument("--objective", choices=OBJECTIVES, default="one-class", help="of Deep SVDD")


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """--false-alarm-rate, --threshold and --refit, of a detector that is trained."""
    parser.add_argument(
        "--false-alarm-rate",
        type=float,
        help=f"of new normal samples, that the threshold keeps (default: {FALSE_ALARM_RATE})",
    )
    parser.add_argument(
        "--threshold",
        choices=THRESHOLDS,
        default="auto",
        help="by normal samples held out of training (holdout), by the training samples (nu), or holdout where there "
        "are enough samples (auto)",
    )
    parser.add_argument(
        "--refit", action="store_true", help="train once more, on all samples: the rate is kept only approximately"
    )


def settle_threshold(arguments: argparse.Namespace) -> None:
    """Give --false-alarm-rate and --nu their defaults. ValueError for one that --threshold leaves without effect."""
    given = {"--false-alarm-rate": arguments.false_alarm_rate, "--refit": arguments.refit or None}
    if arguments.threshold == "nu":
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name}: has no effect with --threshold nu, which holds out no samples")
    if arguments.nu is not None and arguments.threshold == "holdout" and arguments.objective == "one-class":
        raise ValueError(f"--nu {arguments.nu}: has no effect with --threshold holdout and --objective one-class")
    arguments.false_alarm_rate = FALSE_ALARM_RATE if arguments.false_alarm_rate is None else arguments.false_alarm_rate
    arguments.nu = NU if arguments.nu is None else arguments.nu


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed, of everything that a command draws."""
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn: one seed, one result")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress; notes on the data and warnings are shown")


def verbosity(arguments: argparse.Namespace) -> int:
    """What --quiet means to the library: its argument `verbose`."""
    return 0 if arguments.quiet else 1


def check_counts(arguments: argparse.Namespace, *names: str) -> None:
    """ValueError, naming the option, for one of these that is given and below 1."""
    for name in names:
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ValueError(f"--{name} {value}: expected an integer >= 1")
