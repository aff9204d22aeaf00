"""The compiled library and its C interface. Imports no torch."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

PATH = Path(__file__).parent / "libitnet_native.so"
VARIABLE = "ITNET_NATIVE_ISA"
"""Environment variable that selects an instruction set; by default the best one."""

ROW, HIDDEN = 16, 8
"""The multiples that rows and hidden units are padded to; as in source/problem.h."""

SIZES = (
    *("batch", "queries", "keys", "hidden", "rank", "row_rank", "heads", "head_dim", "coordinates"),
    *("groups", "entries", "taps", "tap_zero"),
)
CHOICES = ("activation", "softmax", "causal", "displacement", "distance", "threads")
ARRAYS = (
    *("query", "key", "second", "second_bias", "values", "bias", "query_positions", "key_positions"),
    *("forms", "entry_rows", "entry_columns", "out", "log_total", "grad_out", "delta"),
    *("grad_query", "grad_key", "grad_values", "grad_bias", "grad_forms", "grad_second", "grad_second_bias"),
    *("grad_query_positions", "grad_key_positions", "group_queries", "key_order", "key_ranks", "key_starts"),
    *("cells", "table", "grad_table"),
)


HINT = (
    "run: pip install --force-reinstall --no-deps --no-cache-dir --no-binary :all: itnet-native"
    " (in a checkout: pip install --editable plugins/native)"
)


class NativeProblem(Structure):
    """The C structure `Problem`; source/problem.h describes its fields."""

    _fields_ = (
        *((name, c_int64) for name in (*SIZES, *CHOICES)),
        *((name, c_double) for name in ("radius_squared", "window")),
        *((name, c_void_p) for name in ARRAYS),
    )


class Library:
    """The library and its instruction set.

    Attributes:
        instruction_sets: those that this processor supports, the best first.
        instruction_set: the one in use.

    Raises:
        OSError: the library is missing or of another version, or the processor lacks the instruction set.
    """

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL(str(PATH))
        library.itnet_problem_size.restype = c_int64
        library.itnet_name.restype = c_char_p
        library.itnet_function.argtypes = [c_int, c_int64, POINTER(c_float), POINTER(c_float), c_int64]
        for name in ("itnet_forward", "itnet_backward"):
            getattr(library, name).argtypes = [c_int, POINTER(NativeProblem), c_int]
        if library.itnet_problem_size() != ctypes.sizeof(NativeProblem):
            raise OSError(f"{PATH} is of another version than this package; {HINT}")
        numbers = [n for n in range(library.itnet_count()) if library.itnet_runs(n)]
        self._numbers = {library.itnet_name(n).decode(): n for n in numbers}
        self.instruction_sets = tuple(self._numbers)
        self.instruction_set = os.environ.get(VARIABLE, self.instruction_sets[0])
        if self.instruction_set not in self._numbers:
            raise OSError(f"{VARIABLE}={self.instruction_set}, but this processor has {', '.join(self._numbers)}")

    @staticmethod
    def load() -> Library | None:
        """Return the library, or `None` if it cannot be loaded; `missing` returns the reason."""
        return _loaded()[0]

    def forward(self, problem: NativeProblem, number_bytes: int) -> None:
        """Compute the sums; see source/problem.h.

        Raises:
            MemoryError: no memory for the threads' working arrays.
        """
        self._call(self._library.itnet_forward, problem, number_bytes)

    def backward(self, problem: NativeProblem, number_bytes: int) -> None:
        """Add up the gradients; raises as `forward` does."""
        self._call(self._library.itnet_backward, problem, number_bytes)

    def function(self, function: int, numbers: list[float]) -> list[float]:
        """Compute exp (0), the logistic function (1), the normal distribution function (2) or tanh (3) in float32."""
        count, number = len(numbers), self._numbers[self.instruction_set]
        inputs, outputs = (c_float * count)(*numbers), (c_float * count)()
        self._library.itnet_function(number, function, inputs, outputs, count)
        return list(outputs)

    def _call(self, function: ctypes._NamedFuncPointer, problem: NativeProblem, number_bytes: int) -> None:
        if function(self._numbers[self.instruction_set], ctypes.byref(problem), number_bytes):
            raise MemoryError("itnet_native: no memory for the threads' working arrays")


def missing() -> str:
    """Return why the library cannot be loaded, or ""."""
    return _loaded()[1]


@cache
def _loaded() -> tuple[Library | None, str]:
    if not PATH.is_file():
        return None, f"it was not compiled when itnet-native was installed; install g++ or clang++, and {HINT}"
    try:
        return Library(), ""
    except (OSError, AttributeError) as error:
        return None, str(error)
