"""A folder for each class, in a folder or an archive, with or without train/, val/ and test/ above."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from transfer.runtime.errors import DataError
from transfer.sources.items import IMAGE_ENDINGS, Item, Listing, endings, natural, part_of
from transfer.sources.members import Member
from transfer.sources.table import is_table

FEWEST_SHOWN = 3


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's does, in any case."""
    return PurePosixPath(name).suffix[1:].lower() in IMAGE_ENDINGS


def list_tree(members: Iterable[Member], address: str) -> Listing:
    """Images with the name of the folder that they lie in, at any depth below it; sorted by class, then by name.

    Names begin below the folders that all images share. Files whose names do not end as an image's are passed over and
    counted. Raises DataError if there is no image, one lies in no class's folder, or splits hold some of them only.
    """
    named = sorted(((PurePosixPath(member.name).parts, member) for member in members), key=lambda pair: pair[1].name)
    images = [(parts, member) for parts, member in named if is_image(member.name)]
    ignored = Counter(PurePosixPath(member.name).suffix.lower() for _, member in named if not is_image(member.name))
    tables = [member.name for _, member in named if is_table(member.name)]
    hint = f"; if {tables[0]} has the labels, give it as download.url" if tables else ""
    if not images:
        others = f" ({endings(ignored)})" if ignored else ""
        raise DataError(f"{address}: holds no image{others}; a folder of images for each class is needed{hint}")
    start = _common_folders([parts for parts, _ in images])
    skipped = _folders_of_parts([parts[start:] for parts, _ in images], address)
    items = []
    for parts, member in images:
        below = parts[start + skipped.get(parts[start], 0) :]
        if len(below) < 2:
            raise DataError(
                f"{address}: {member.name} lies in no class's folder; put each image into its class's{hint}"
            )
        part = (part_of(parts[start]) or "") if skipped else ""
        items.append((below, Item("/".join(parts[start:]), below[0], member.read, part, place=member.name)))
    items.sort(key=lambda pair: (natural(pair[0][0]), natural("/".join(pair[0][1:])), pair[1].part))
    if tables and len({below[0] for below, _ in items}) == 1:
        raise DataError(f"{address}: only class {items[0][0][0]!r}; two or more classes are needed{hint}")
    return Listing("a folder of images per class", [item for _, item in items], (), len(items), ignored)


def _common_folders(paths: list[tuple[str, ...]]) -> int:
    """How many folders all images share above those of parts and classes."""
    depth = 0
    while True:
        here = {parts[depth] for parts in paths}
        enough = all(len(parts) > depth + 1 for parts in paths) and any(len(parts) > depth + 2 for parts in paths)
        if len(here) > 1 or not enough or part_of(next(iter(here))):
            return depth
        depth += 1


def _folders_of_parts(paths: list[tuple[str, ...]], address: str) -> dict[str, int]:
    """The folders of parts by name, and how many there are above the classes: two in seg_train/seg_train/CLASS.

    Empty if no folder with classes below it is called as a part is.
    Raises DataError where images lie elsewhere beside such a folder.
    """
    of_folder: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        of_folder.setdefault(path[0], []).append(path)
    parts = {folder for folder in of_folder if part_of(folder)}
    placed = {path for folder in parts for path in of_folder[folder] if len(path) > 2}
    if not placed and (len(parts) < len(of_folder) or len(parts) < 2):
        return {}
    if out := [path for path in paths if path not in placed]:
        shown = ", ".join("/".join(path) for path in out[:FEWEST_SHOWN])
        more = f" and {len(out) - FEWEST_SHOWN:,} more" if len(out) > FEWEST_SHOWN else ""
        raise DataError(
            f"{address}: no class's folder in a split ({', '.join(sorted(parts))}) holds {shown}{more}; "
            "move or delete these, or rename a folder that is no split"
        )
    return {folder: 1 + _is_repeated(of_folder[folder]) for folder in parts}


def _is_repeated(paths: list[tuple[str, ...]]) -> bool:
    """Whether a folder of a part holds nothing but one folder of the same part."""
    first = paths[0]
    return part_of(first[1]) == part_of(first[0]) and all(path[1] == first[1] and len(path) > 3 for path in paths)
