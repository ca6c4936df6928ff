"""Images of many callers, answered together: what comes within a few milliseconds is one run of the network."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from transfer.deployment.predictor import Answers, Predictor
from transfer.runtime.errors import PipelineError


class QueueFullError(PipelineError):
    """More images wait than may."""


class _Waiting(NamedTuple):
    pixels: np.ndarray
    done: asyncio.Future[Answers]


class Batcher:
    """Answers images in the order in which they come, at most `most` a run, and no more than `wait_s` after them.

    One thread runs the network, which uses the cores itself. At most `queue` images wait.
    """

    def __init__(self, predictor: Predictor, most: int, wait_s: float, queue: int) -> None:
        self.predictor, self.most, self.wait_s, self.queue = predictor, most, wait_s, queue
        self.waiting: deque[_Waiting] = deque()
        self.arrived = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, "network")
        self.runs = 0
        self.images = 0

    def check_room(self, images: int) -> None:
        """Raise QueueFullError if so many images more would not find room."""
        if len(self.waiting) + images > self.queue:
            raise QueueFullError(f"{len(self.waiting)} images are waiting and {self.queue} may; ask again in a second")

    async def answer(self, pixels: np.ndarray) -> list[Answers]:
        """Answers of one image each for prepared images (N, S, S, 3) uint8. Raises QueueFullError."""
        self.check_room(len(pixels))
        loop = asyncio.get_running_loop()
        asked = [_Waiting(each, loop.create_future()) for each in pixels]
        self.waiting.extend(asked)
        self.arrived.set()
        return list(await asyncio.gather(*(each.done for each in asked)))

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            await self.arrived.wait()
            if len(self.waiting) < self.most:
                await asyncio.sleep(self.wait_s)
            batch = [self.waiting.popleft() for _ in range(min(self.most, len(self.waiting)))]
            if not self.waiting:
                self.arrived.clear()
            # Whose caller has left needs no answer.
            if batch := [each for each in batch if not each.done.cancelled()]:
                await self._answer(batch)

    async def _answer(self, batch: list[_Waiting]) -> None:
        pixels = np.stack([each.pixels for each in batch])
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self.thread, self.predictor.answer, pixels)
            results = answers.each()
        except Exception as error:  # of any kind: each caller is told, and the next batch is answered
            for each in batch:
                if not each.done.done():
                    each.done.set_exception(error)
            return
        self.runs += 1
        self.images += len(batch)
        for each, result in zip(batch, results, strict=True):
            if not each.done.done():
                each.done.set_result(result)
