"""Batches: as large as may be and in order; who has left is not answered, and a failure reaches its callers alone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from tests.transfer.deployment.server import brightness_package
from transfer.deployment.batching import Batcher, QueueFullError
from transfer.deployment.predictor import Predictor

Seen = list[list[int]]


def batcher(seen: Seen, most: int = 4, queue: int = 100) -> Batcher:
    """One whose network notes the shades of each run, and fails at 13."""

    def network(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(pixels[:, 0, 0, 0].tolist())
        if 13 in seen[-1]:
            raise RuntimeError("13")
        share = pixels[:, 0, 0, 0] / 255
        return np.stack([1 - share, share], 1), np.tile(np.array([1, 0], np.float32), (len(pixels), 1))

    package = brightness_package(("dark", "bright"), 1)
    return Batcher(Predictor(package, network, np.array([[1, 0]], np.float32)), most, 0.01, queue)


def images(*shades: int) -> np.ndarray:
    return np.array(shades, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


def during(made: Batcher, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def both() -> None:
        running = asyncio.create_task(made.run())
        await work()
        running.cancel()

    asyncio.run(both())


def test_callers_share_runs_and_each_gets_its_own_answers() -> None:
    seen: Seen = []
    made = batcher(seen)

    async def work() -> None:
        first, second = await asyncio.gather(made.answer(images(0, 51, 102)), made.answer(images(153, 204)))
        shades = [round(255 * each.raw[0, 1]) for each in (*first, *second)]
        assert shades == [0, 51, 102, 153, 204]

    during(made, work)
    assert seen == [[0, 51, 102, 153], [204]]
    assert (made.runs, made.images, len(made.waiting)) == (2, 5, 0)


def test_whose_caller_has_left_is_not_answered() -> None:
    seen: Seen = []
    made = batcher(seen)

    async def work() -> None:
        leaving = asyncio.create_task(made.answer(images(1, 2)))
        staying = asyncio.create_task(made.answer(images(3)))
        await asyncio.sleep(0)
        leaving.cancel()
        assert len(await staying) == 1

    during(made, work)
    assert seen == [[3]]


def test_a_failed_run_is_told_to_its_callers_and_the_next_is_answered() -> None:
    made = batcher([])

    async def work() -> None:
        failed = await asyncio.gather(made.answer(images(13)), made.answer(images(1)), return_exceptions=True)
        assert [str(each) for each in failed] == ["13", "13"]
        assert len(await made.answer(images(1))) == 1

    during(made, work)


def test_more_than_may_wait_are_refused_and_take_no_place() -> None:
    made = batcher([], queue=2)

    async def work() -> None:
        with pytest.raises(QueueFullError, match="0 images are waiting and 2 may"):
            await made.answer(images(1, 2, 3))
        assert len(await made.answer(images(1, 2))) == 2

    during(made, work)
