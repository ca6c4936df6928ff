"""A folder for each class, in a folder or an archive, with or without train/, val/ and test/ above."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from transfer.runtime.errors import DataError
from transfer.sources.items import IMAGE_ENDINGS, Item, Listing, natural, part_of
from transfer.sources.members import Member

FEWEST_SHOWN = 3


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does, in any case."""
    return PurePosixPath(name).suffix[1:].lower() in IMAGE_ENDINGS


def list_tree(members: Iterable[Member], address: str) -> Listing:
    """Images with the name of the folder that they lie in, at any depth below it; sorted by class, then by name.

    Files whose names do not end as an image's are passed over and counted.
    Raises DataError if there is no image, or one lies in no class's folder.
    """
    named = sorted(((PurePosixPath(member.name).parts, member) for member in members), key=lambda pair: pair[1].name)
    images = [(parts, member) for parts, member in named if is_image(member.name)]
    if not images:
        raise DataError(f"{address}: holds no image; a folder of images for each class is needed")
    start = _common_folders([parts for parts, _ in images])
    parted = all(part_of(parts[start]) and len(parts) > start + 2 for parts, _ in images)
    items = []
    for parts, member in images:
        part, below = (part_of(parts[start]) or "", parts[start + 1 :]) if parted else ("", parts[start:])
        if len(below) < 2:
            raise DataError(f"{address}: {member.name} lies in no class's folder; put each image into its class's")
        items.append((below, Item(member.name, below[0], member.read, part)))
    items.sort(key=lambda pair: (natural(pair[0][0]), natural("/".join(pair[0][1:])), pair[1].part))
    return Listing(
        "a folder of images per class", [item for _, item in items], (), len(items), len(named) - len(images)
    )


def _common_folders(paths: list[tuple[str, ...]]) -> int:
    """How many folders all images share above those of parts and classes."""
    depth = 0
    while True:
        here = {parts[depth] for parts in paths}
        if len(here) > 1 or any(len(parts) < depth + 3 for parts in paths) or part_of(next(iter(here))):
            return depth
        depth += 1
