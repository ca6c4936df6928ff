"""What the server counts, in the text format of Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PREFIX = "classifier_"


class Counters:
    """Requests by path and status, and how long they took."""

    def __init__(self) -> None:
        self.active = 0
        self.bytes = 0  # of their bodies
        self.requests: Counter[tuple[str, int]] = Counter()
        self.within: Counter[float] = Counter()
        self.seconds = 0.0

    @contextmanager
    def one_more(self, stated: int | None, most: int) -> Iterator[Callable[[int], bool]]:
        """A request that is being answered, whose body has the stated bytes, or None if nobody knows.

        Yields a function that counts a piece of such a body as it comes, unless all bodies together would then have
        more than `most` bytes, and says whether it did.
        """
        counted = stated or 0

        def has_room(size: int) -> bool:
            nonlocal counted
            if stated is None:
                if self.bytes + size > most:
                    return False
                counted += size
                self.bytes += size
            return True

        self.active += 1
        self.bytes += counted
        try:
            yield has_room
        finally:
            self.active -= 1
            self.bytes -= counted

    def note(self, path: str, status: int, seconds: float) -> None:
        self.requests[path, status] += 1
        self.seconds += seconds
        self.within.update(bound for bound in BUCKETS_S if seconds <= bound)

    def text(self, gauges: Mapping[str, int], totals: Mapping[str, int]) -> str:
        """All counters, with the values of `gauges` and of `totals`, by name."""
        count = self.requests.total()
        lines = [f"# TYPE {PREFIX}requests_total counter"]
        lines += [
            f'{PREFIX}requests_total{{path="{path}",status="{status}"}} {number}'
            for (path, status), number in sorted(self.requests.items())
        ]
        lines += [f"# TYPE {PREFIX}request_seconds histogram"]
        lines += [f'{PREFIX}request_seconds_bucket{{le="{bound}"}} {self.within[bound]}' for bound in BUCKETS_S]
        lines += [f'{PREFIX}request_seconds_bucket{{le="+Inf"}} {count}']
        lines += [f"{PREFIX}request_seconds_sum {self.seconds}", f"{PREFIX}request_seconds_count {count}"]
        for name, value in totals.items():
            lines += [f"# TYPE {PREFIX}{name}_total counter", f"{PREFIX}{name}_total {value}"]
        for name, value in gauges.items():
            lines += [f"# TYPE {PREFIX}{name} gauge", f"{PREFIX}{name} {value}"]
        return "\n".join(lines) + "\n"
