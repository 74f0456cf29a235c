"""A GPU that is none: a torch device that computes on the CPU, as strict as CUDA about what lies where, with graphs.

    Pretended() ── device "pretended": an operation that mixes it with the CPU raises, a copy between the two is noted
    CUDAGraph   ── takes down a tick's operations and launches, and does just these again: nothing of Python's is left

What a real one does otherwise (arithmetic, streams, memory that a graph uses twice) it can't show.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.library import Library
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("pretended")
DEVICE = torch.device("pretended", 0)
CPU = torch.device("cpu")
COPY, MOVE = torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default

Operation = tuple[Callable[..., Any], Any, Any, Any]
_taken_down: list[list[Operation]] = []
"""The operations of the graph that is being captured, if one is."""


class There(torch.Tensor):
    """A tensor on the device; ``held`` are its values, on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "There":
        there = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        there.held = held
        return there

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class Pretended(TorchDispatchMode):
    """While it is entered, the device is there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, There)}
    here = [tensor for tensor in tensors if not isinstance(tensor, There)]
    if there and any(tensor.dim() for tensor in here) and func not in (COPY, MOVE):
        raise RuntimeError(
            f"{func} takes tensors of two devices, {[tuple(tensor.shape) for tensor in here]} of the CPU's"
        )
    device = kwargs.get("device")
    goes_there = bool(there) if device is None else torch.device(device).type == DEVICE.type
    made = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if goes_there:  # what an operation changes in place it returns
        made = tree_map(lambda one: there.get(id(one), There(one)) if isinstance(one, torch.Tensor) else one, made)
    if _taken_down and (there or goes_there):
        if here or not goes_there:
            raise RuntimeError(f"{func} goes from one device to the other, which a graph can't hold")
        _taken_down[-1].append((func, args, kwargs, made))
    return made


def _held(leaf: Any) -> Any:
    if isinstance(leaf, There):
        return leaf.held
    return CPU if isinstance(leaf, torch.device) and leaf.type == DEVICE.type else leaf


def _set_apart(size: Any, stride: Any, dtype: Any = None, **_: Any) -> There:
    return There(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """What Python's own way from a list to a tensor ends with; modes do not see it."""
    if _taken_down:
        raise RuntimeError("the host's numbers are copied to the device, which a graph can't hold")
    _held(target).copy_(_held(source))
    return target


LIBRARY = Library("aten", "IMPL")
LIBRARY.impl("empty_strided", _set_apart, "PrivateUse1")
LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")


class Launcher:
    """Launches a kernel of Triton's, in its interpreter, over what the device's tensors hold."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*values: Any) -> None:
            assert all(isinstance(value, There) for value in values if isinstance(value, torch.Tensor))
            self.kernel[grid](*map(_held, values))
            if _taken_down:
                _taken_down[-1].append((lambda *held: self.kernel[grid](*held), values, {}, None))

        return launch


class CUDAGraph:
    """Stands in for torch.cuda.CUDAGraph."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def replay(self) -> None:
        for func, args, kwargs, made in self.operations:
            again = func(*tree_map(_held, args), **tree_map(_held, kwargs))
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, There) and old.held.data_ptr() != new.data_ptr():  # it is no view
                    old.held.copy_(new)


@contextlib.contextmanager
def graph(taken: CUDAGraph) -> Iterator[None]:
    """Stands in for torch.cuda.graph: unlike there, what is captured is also done."""
    _taken_down.append(taken.operations)
    try:
        yield
    finally:
        _taken_down.pop()


class Stream:
    """Stands in for torch.cuda.Stream: one thing after another."""

    def wait_stream(self, other: "Stream") -> None: ...
