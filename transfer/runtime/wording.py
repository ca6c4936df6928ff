"""Figures in sentences."""


def number(value: float, decimals: int, sign: str = "-") -> str:
    """With a minus sign that is one, and none before a zero; with `sign` "+" a plus before what is above it."""
    return f"{value:{sign}z.{decimals}f}".replace("-", "−")


def percent(share: float) -> str:
    """A share with one decimal: `91.1 %`."""
    return f"{100 * share:.1f} %"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 test image`, `2,000 test images`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
