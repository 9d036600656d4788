"""The typed launch: a CUDA kernel's C++ signature, and the check of every argument against it.

A GPU takes whatever bytes it is given. A float32 array where the kernel expects float64, a view with strides, an
argument too many: all of that would run and give wrong numbers. Here it is an error of one line, before the launch.

A kernel may be a template. With `template <typename T>`, T is float or double, as its arrays are. With
`template <typename S>`, S is a struct of sizes, `Rows<1, 8, 28, 28>`, which the launch names; the compiler then knows
every size, unrolls the loops over them and keeps small arrays in registers. Such an instance is built when it is first
launched.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..places import shipped
from .types import DeviceArray, Shape

_TYPES = {
    "float": np.float32,
    "double": np.float64,
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned char": np.uint8,
    "bool": np.bool_,
    "long long": np.int64,
    "float4": np.float32,
}
_ALIGNMENT = {"float4": 16}  # bytes; a GPU loads a pack of numbers only from a multiple of its size
TEMPLATE_TYPES: dict[np.dtype[Any], str] = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_KERNEL = re.compile(
    r"(?:template\s*<typename (T|S)>\s*)?__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)\s*\{"
)
_SIZES = re.compile(r"[A-Za-z_]\w*<-?\w+(, -?\w+)*>")
MAX_SHARED = 48 * 1024  # bytes of shared memory that a block may have
_MAX_THREADS, _MAX_GRID_YZ = 1024, 65535


class KernelError(RuntimeError):
    """A kernel cannot be found, built or run; the message names kernel and, where known, file and line."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: `type` is a C++ type, or "T", the template's scalar type.

    An array of `float4` is one of float32 that begins at a multiple of 16 bytes: the kernel reads it in packs.
    """

    name: str
    type: str
    is_array: bool

    def dtype(self, scalar: DTypeLike | None) -> np.dtype[Any]:
        """The NumPy dtype, where T stands for `scalar`."""
        return np.dtype(scalar if self.type == "T" else _TYPES[self.type])

    @property
    def alignment(self) -> int:
        """Where an array must begin: at a multiple of so many bytes."""
        return _ALIGNMENT.get(self.type, 1)


@dataclass(frozen=True)
class Kernel:
    """A `__global__` function of a .cu file, as its source declares it.

    template: "T", a template over the scalar type; "S", over a struct of sizes; "", none. sizes: what stands for S.
    """

    name: str
    path: Path
    template: str
    parameters: tuple[Parameter, ...]
    sizes: str = ""

    @property
    def is_template(self) -> bool:
        """Is there an instance for every scalar type?"""
        return self.template == "T"

    @property
    def scalar_types(self) -> tuple[np.dtype[Any] | None, ...]:
        """What T may be; (None,) for a kernel without T; none at all for one over sizes, which are not known here."""
        return () if self.template == "S" else tuple(TEMPLATE_TYPES) if self.is_template else (None,)

    def instance(self, scalar: DTypeLike | None = None) -> str:
        """The C++ name for arrays of this dtype, such as `relu<float>`, or for these sizes."""
        if self.template == "S":
            return f"{self.name}<{self.sizes}>"
        return f"{self.name}<{TEMPLATE_TYPES[np.dtype(scalar)]}>" if self.is_template else self.name

    def specialised(self, sizes: str) -> "Kernel":
        """The kernel for one struct of sizes, such as "Rows<1, 8, 28, 28>"; TypeError where it takes none."""
        if self.template != "S":
            raise TypeError(f"{self.name} is not specialised by sizes, got {sizes!r}")
        if not _SIZES.fullmatch(sizes):
            raise TypeError(f"{self.name}: sizes must read like 'Rows<1, 8, 28>', got {sizes!r}")
        return replace(self, sizes=sizes)

    def scalar_type(self, args: Sequence[Any]) -> np.dtype[Any] | None:
        """T, from the first array whose items are T; None for a kernel that is no template."""
        if not self.is_template:
            return None
        for parameter, value in zip(self.parameters, args):
            if parameter.is_array and parameter.type == "T":
                dtype: np.dtype[Any] | None = getattr(value, "dtype", None)
                if dtype not in TEMPLATE_TYPES:
                    raise TypeError(f"{self.name}: {parameter.name} must be float32 or float64, got {_describe(value)}")
                return dtype
        raise TypeError(f"{self.name}: no array argument tells the template type")

    def check(self, args: Sequence[Any], array_type: type[DeviceArray]) -> list[Any]:
        """The arguments, scalars converted to the declared type; TypeError names the first that does not fit.

        array_type: the class of this backend's arrays: one that lives on another device has another class.
        """
        if self.template == "S" and not self.sizes:
            raise TypeError(f"{self.name} is specialised by sizes: expected some, such as 'Rows<1, 8, 28>'")
        if len(args) != len(self.parameters):
            names = ", ".join(p.name for p in self.parameters)
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments ({names}), got {len(args)}")
        scalar = self.scalar_type(args)
        return [self._check_one(p, value, scalar, array_type) for p, value in zip(self.parameters, args)]

    def _check_one(
        self, parameter: Parameter, value: Any, scalar: DTypeLike | None, array_type: type[DeviceArray]
    ) -> Any:
        dtype, place = parameter.dtype(scalar), f"{self.name}: {parameter.name}"
        if parameter.is_array:
            if not isinstance(value, array_type):
                raise TypeError(
                    f"{place} must be a {array_type.__module__}.{array_type.__name__}, got {_describe(value)}"
                )
            if value.dtype != dtype:
                raise TypeError(f"{place} must be {dtype}, got {value.dtype}")
            if not value.flags.c_contiguous:
                raise TypeError(f"{place} must be contiguous, got strides {value.strides} for shape {value.shape}")
            if not is_aligned(value, parameter.alignment):
                raise TypeError(f"{place} must begin at a multiple of {parameter.alignment} bytes, got another view")
            return value
        if not isinstance(value, int | float | np.number | np.bool_):
            raise TypeError(f"{place} must be a number, got {_describe(value)}")
        converted = dtype.type(value) if dtype.kind == "f" else _as_integer(value, dtype, place)
        return converted


def _as_integer(value: Any, dtype: np.dtype[Any], place: str) -> Any:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    if value != int(value) or (limits and not limits.min <= value <= limits.max):
        raise TypeError(f"{place} must be {dtype}, got {value!r}")
    return dtype.type(int(value))


def is_aligned(array: DeviceArray, size: int = 16) -> bool:
    """May a kernel read the array in packs of so many bytes? A view into another array may begin anywhere."""
    if size == 1:
        return True
    address = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return int(address) % size == 0


def _describe(value: object) -> str:
    return f"{type(value).__name__} of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__


def check_geometry(name: str, grid: Sequence[int], block: Sequence[int], shared: int) -> tuple[Shape, Shape]:
    """Grid and block as three integers each; ValueError for what a GPU would refuse or quietly change."""
    grid, block = ((*map(int, sizes), 1, 1)[:3] for sizes in (grid, block))
    if min(*grid, *block) < 1:
        raise ValueError(f"{name}: empty grid {grid} x block {block}: is there nothing to compute?")
    if np.prod(block) > _MAX_THREADS or block[2] > 64 or max(grid[1:]) > _MAX_GRID_YZ or grid[0] >= 2**31:
        raise ValueError(f"{name}: grid {grid} x block {block} is larger than a GPU allows")
    if not 0 <= shared <= MAX_SHARED:
        raise ValueError(f"{name}: {shared} bytes of dynamic shared memory; at most {MAX_SHARED}")
    return grid, block


def kernel_folder() -> Path:
    """Where the .cu files are."""
    return shipped("kernels")


@cache
def read_kernels(path: Path) -> dict[str, Kernel]:
    """All kernels that a .cu file declares, by name, in the order of the file."""
    source = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
    kernels: dict[str, Kernel] = {}
    for template, name, parameters in _KERNEL.findall(source):
        parsed = tuple(_parse_parameter(text, name) for text in parameters.split(",") if text.strip())
        kernels[name] = Kernel(name, path, template, parsed)
    return kernels


def _parse_parameter(text: str, kernel: str) -> Parameter:
    plain = re.sub(r"\bconst\b|__restrict__", " ", text)
    match = re.fullmatch(r"\s*([\w ]+?)\s*(\*?)\s*(\w+)\s*", plain)
    if not match or (match[1] != "T" and match[1] not in _TYPES):
        raise KernelError(f"{kernel}: cannot read the parameter {text.strip()!r}")
    if match[1] in _ALIGNMENT and not match[2]:
        raise KernelError(f"{kernel}: {match[3]} must be an array, since it is of type {match[1]}")
    return Parameter(match[3], match[1], bool(match[2]))


@cache
def find_kernel(operation: str, rung: str | None = None, folder: Path | None = None) -> Kernel:
    """The kernel of an operation: its highest rung, or the one called `rung`.

    Rungs of "linear" are kernels `linear_1_naive`, `linear_2_tiled`, ...
    """
    name = re.compile(rf"{operation}_(\d+)_(\w+)")
    rungs = {}
    for path in sorted((folder or kernel_folder()).glob("*.cu")):
        for kernel in read_kernels(path).values():
            if match := name.fullmatch(kernel.name):
                rungs[match[2]] = (int(match[1]), kernel)
    if not rungs:
        raise KernelError(f"operation {operation} has no kernel yet")
    if rung is None:
        return max(rungs.values(), key=lambda numbered: numbered[0])[1]
    if rung not in rungs:
        raise KernelError(f"operation {operation} has no rung {rung!r}; expected one of {list(rungs)}")
    return rungs[rung][1]
