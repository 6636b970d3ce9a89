"""Work that the processes of a parallel ParaView do together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from inrvis.errors import InrvisError, UsageError

T = TypeVar("T")


def is_first() -> bool:
    """Whether this process is the one that tells of errors: the first rank, or the only one."""
    world = _world()
    return world is None or world.rank == 0


def gather(own: Callable[[], T]) -> list[T]:
    """What `own` returns on each rank, handed to the first rank; the others get an empty list.

    Every rank must call it. Raises on all ranks what `own` raised on one of them.
    """
    world = _world()
    value, error = _attempt(own)
    if world is None:
        return [_result(value, error)]
    for problem in world.allgather(error):
        if problem is not None:
            raise problem
    return world.gather(value) or []


def by_first(work: Callable[[], T]) -> T:
    """Do `work` on the first rank; its result, or its error, comes of it on every rank.

    Every rank must call it, and none goes on before the work is done.
    """
    world = _world()
    value, error = _attempt(work) if is_first() else (None, None)
    if world is not None:
        _rest_until_all_are_here(world)
        value, error = world.bcast((value, error))
    result: T = _result(value, error)
    return result


def _rest_until_all_are_here(world: Any) -> None:
    # Ranks that wait inside MPI spin, on the cores that the first one computes with.
    here = world.Ibarrier()
    while not here.Test():
        time.sleep(0.01)


def _attempt(work: Callable[[], T]) -> tuple[T | None, InrvisError | None]:
    # The other ranks wait for word: what nobody foresaw must not leave them waiting.
    try:
        return work(), None
    except InrvisError as error:
        return None, error
    except MemoryError:
        return None, UsageError("not enough memory; take a part of the image")
    except Exception as error:  # noqa: BLE001
        return None, InrvisError(f"{type(error).__name__}: {error}")


def _result(value: Any, error: InrvisError | None) -> Any:
    if error is not None:
        raise error
    return value


def _world() -> Any:
    """Communicator of all ranks; None where there is only one."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    if not MPI.Is_initialized() or MPI.COMM_WORLD.size == 1:
        return None
    return MPI.COMM_WORLD
