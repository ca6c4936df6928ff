"""Fetch labelled images, check each and write them as one canonical file.

The output depends on images, labels, names and their order alone, whatever brought them.
"""

import sys
from argparse import Namespace
from collections import Counter
from typing import Literal

from pydantic import Field

from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json
from transfer.runtime.parameters import Group
from transfer.runtime.wording import plural
from transfer.sources.cifar import Archive, image_set
from transfer.sources.doubts import suspicious
from transfer.sources.images import save_images
from transfer.sources.items import Listing, Written, damage_list, endings, write_damaged, write_items
from transfer.sources.reader import Source, open_source
from transfer.sources.seen import SeenImages
from transfer.sources.table import Columns


class Download(Group):
    url: str = Field(min_length=1)
    sha256: str | None = Field(pattern="^[0-9a-f]{64}$")
    timeout_s: float = Field(gt=0)
    on_damage: Literal["error", "skip"]
    columns: Columns
    cifar100_labels: Literal["fine", "coarse"]


class Parameters(Group):
    download: Download


def write_cifar(archive: Archive, files: Namespace) -> Written:
    images = image_set(archive)
    save_images(files.images, images)
    return Written(archive.classes, list(map(str, images.parts)))


def write_listed(listing: Listing, config: Download, files: Namespace) -> Written:
    def refuse(damaged: list[tuple[str, str]], images: int) -> None:
        whole_list = files.state / "download/damaged.tsv"
        write_damaged(whole_list, damaged)
        print(damage_list(damaged), file=sys.stderr)
        raise DataError(
            f"{config.url}: damaged images: {len(damaged)} of {images} ({whole_list} has all); "
            "mend them, or set download.on_damage to skip"
        )

    seen = SeenImages(files.state / "download")
    return write_items(files.images, listing, refuse if config.on_damage == "error" else None, seen)


def tell_ignored(ignored: Counter[str]) -> None:
    """One line on files that are passed over, if there are any."""
    if ignored:
        named = f"{plural(ignored.total(), 'file')} that no image's ending has: {endings(ignored)}"
        print(f"passed over {named}", file=sys.stderr)


def main(parameters: Parameters, files: Namespace) -> None:
    config = parameters.download
    folder = files.state / "download"
    source = Source(config.url, config.sha256, config.columns, config.cifar100_labels, folder, config.timeout_s)
    with open_source(source) as found:
        if isinstance(found, Archive):
            kind, ignored, written = "a CIFAR binary archive", 0, write_cifar(found, files)
        else:
            kind, ignored, written = found.kind, found.ignored.total(), write_listed(found, config, files)
            tell_ignored(found.ignored)
        for note in suspicious(written.classes):
            print(f"note: {note}", file=sys.stderr)
    write_damaged(files.damaged, written.damaged)
    parts = Counter(written.parts)
    content = {
        "kind": kind,
        "official_pixels": isinstance(found, Archive) and found.official,
        "images": len(written.parts),
        **{f"{part or 'unsplit'}_images": count for part, count in sorted(parts.items())},
        **({"newest_image": written.newest} if written.newest else {}),
        "classes": len(written.classes),
        "damaged_images": len(written.damaged),
        "other_files": ignored,
    }
    write_json(files.metrics, content)


if __name__ == "__main__":
    run(main, Parameters, outputs=["images", "damaged", "metrics"])
