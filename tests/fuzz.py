"""Feed damaged archives and parameter files to their readers: `python -m tests.fuzz --inputs 100000 --seed 0`.

Half of the inputs are archives: tiny valid ones whose bytes are changed, cut, repeated, put in or mixed with those of
another, in the tar as well as in what is packed. Half are parameter files, one stage's groups each, with odd values,
keys and characters. A reader may accept an input or refuse it with a PipelineError of one line; anything else is a
failure, whose input is saved. The same seed gives the same inputs.
"""

import argparse
import bz2
import gzip
import importlib
import io
import lzma
import random
import re
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from commands.demo import ROOT
from transfer.runtime.errors import PipelineError
from transfer.runtime.parameters import Group, load_parameters
from transfer.sources.cifar import CLASSES, FOLDER, RECORD_BYTES, TEST, read_archive

MODULES = [importlib.import_module(f"stages.{path.stem}") for path in sorted((ROOT / "stages").glob("*.py"))]
STAGES = [module for module in MODULES if hasattr(module, "Parameters")]
BLOCK = tarfile.BLOCKSIZE
MAGIC = slice(257, 262)  # of a tar header
CHECKSUM = slice(148, 156)


def tar_in(form: int, folder: str) -> bytes:
    """A valid archive of two images for training and one for testing."""
    members = {CLASSES: b"cat\ndog\n", TEST: bytes(RECORD_BYTES)}
    members |= {f"data_batch_{number}.bin": bytes([number - 1]) + bytes(RECORD_BYTES - 1) for number in (1, 2)}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime = len(content), 0.5
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


TARS = [
    tar_in(tarfile.USTAR_FORMAT, FOLDER),
    tar_in(tarfile.PAX_FORMAT, FOLDER),
    tar_in(tarfile.PAX_FORMAT, "ä" * 200),
    tar_in(tarfile.GNU_FORMAT, "long" * 50),
]
PACKS: list[Callable[[bytes], bytes]] = [
    bytes,
    lambda content: gzip.compress(content, 0, mtime=0),
    lambda content: gzip.compress(content, 1, mtime=0),
    lambda content: bz2.compress(content, 1),
    lambda content: lzma.compress(content, preset=0),
]
PACKED = [pack(content) for content in TARS for pack in PACKS[1:]]
HEADER_VALUES = [b"\xff", b"\x80", b"\0", b"7" * 11, b"-1", b"0", *(bytes([kind]) for kind in b"0123456789gxLKSVDNAM")]


def mutated(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """`content` with up to four changes; most lie near the start or in a tar header, where sizes and names are."""
    for _ in range(rng.randint(1, 4)):
        size = len(content)
        if not size:
            return content
        start = rng.randrange(size)
        if rng.random() < 0.5:
            start = min(start // BLOCK * BLOCK + rng.randrange(BLOCK), size - 1)
        end = min(start + int(rng.expovariate(1 / 100)) + 1, size)
        change = rng.choice(["flip", "value", "cut", "repeat", "insert", "splice", "truncate", "swap"])
        if change == "flip":
            content = content[:start] + bytes([content[start] ^ rng.randint(1, 255)]) + content[start + 1 :]
        elif change == "value":
            value = rng.choice(HEADER_VALUES)
            content = content[:start] + value + content[start + len(value) :]
        elif change == "cut":
            content = content[:start] + content[end:]
        elif change == "repeat":
            content = content[:end] + content[start:]
        elif change == "insert":
            content = content[:start] + rng.randbytes(end - start) + content[start:]
        elif change == "splice":
            other = rng.choice(others)
            content = content[:start] + other[rng.randrange(len(other)) :]
        elif change == "truncate" and rng.random() < 0.3:
            content = content[:start]
        elif change == "swap":  # whole blocks of a tar
            block = start // BLOCK * BLOCK
            content = content[:block] + content[block + BLOCK :] + content[block : block + BLOCK]
    return content


def with_checksums(content: bytes) -> bytes:
    """The tar with right checksums in its headers, so that what was changed in them is looked at."""
    blocks = bytearray(content)
    for start in range(0, len(blocks) - BLOCK + 1, BLOCK):
        header = blocks[start : start + BLOCK]
        if header[MAGIC] == b"ustar":
            total = sum(header) - sum(header[CHECKSUM]) + 8 * ord(" ")
            blocks[start + CHECKSUM.start : start + CHECKSUM.stop] = b"%06o\0 " % total
    return bytes(blocks)


def archives(rng: random.Random) -> Iterator[bytes]:
    while True:
        if rng.random() < 0.3:
            yield mutated(rng, rng.choice(PACKED), PACKED)
            continue
        content = mutated(rng, rng.choice(TARS), TARS)
        if rng.random() < 0.7:
            content = with_checksums(content)
        yield rng.choices(PACKS, [8, 3, 3, 1, 1])[0](content)


VALUES = [
    *("null", "~", "true", "no", ".nan", ".inf", "-.inf", "-1", "0", "1", "2", "1e-5", "1.e-5", "1e400", "-0.0"),
    *("9" * 22, "''", "' '", "'1e-5'", "'nan'", "text", "ä", '"\\0"', '"\\ud800"', '"\\U0010ffff"', "1:2:3"),
    *("2020-01-01", "2020-13-45", "[]", "[1, 2]", "[[]]", "[null]", "[.nan, 1]", "{}", "{a: 1}", "{? [a] : 1}"),
    *("&x [*x]", "*x", "!!python/object/apply:os.system ['false']", "!!binary YQ==", "!!binary a", "!!set {a}"),
    *("!!int x", "!!float x", "!!timestamp x", "|", ">-", "%", "@", "`"),
]
LONG_VALUES = ["0x" + "f" * 5000, "9" * 5000, "'" + "x" * 5000 + "'", "'" + "[" * 400 + "'", "[" * 400]
KEYS = ["unknown", "1", "null", "[a]", "? [a]", "<<", "'a\\nb'", "ä", "*x", "&x a", "!!str a", "1.5", "true"]
CHARACTERS = [*"{}[],:#&*!|>'\"%@`?- \t\n\r\\~<=", "\0", "\x7f", "\x85", "\ufeff", "\u2028", "\ud7ff", "---\n", "...\n"]


def stage_texts() -> list[tuple[type[Group], list[str]]]:
    """Each stage's parameters with the lines of a file that holds its groups."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    models = [stage.Parameters for stage in STAGES]
    return [
        (model, yaml.safe_dump({name: content[name] for name in model.model_fields}).splitlines()) for model in models
    ]


def parameter_files(rng: random.Random) -> Iterator[tuple[type[Group], bytes]]:
    texts = stage_texts()

    def value() -> str:
        return rng.choice(LONG_VALUES if rng.random() < 0.02 else VALUES)

    while True:
        model, lines = rng.choice(texts)
        lines = list(lines)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(lines))
            key, colon, _ = lines[place].partition(":")
            change = rng.choice(["value", "value", "value", "key", "drop", "repeat", "indent", "other"])
            if change == "value" and colon:
                lines[place] = f"{key}: {value()}"
            elif change == "key" and colon:
                indent = key[: len(key) - len(key.lstrip())]
                lines.insert(place + 1, f"{indent}{rng.choice(KEYS)}: {value()}")
            elif change == "drop" and len(lines) > 1:
                del lines[place]
            elif change == "repeat":
                lines.insert(place, lines[place])
            elif change == "indent":
                lines[place] = " " * rng.randint(0, 3) + lines[place]
        text = "\n".join(lines) + "\n"
        for _ in range(rng.choice([0, 0, 1, 2, 5])):
            place = rng.randrange(len(text))
            text = text[:place] + rng.choice(CHARACTERS) + text[place + rng.randint(0, 2) :]
        content = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.05:
            place = rng.randrange(len(content))
            content = content[:place] + rng.randbytes(rng.randint(1, 4)) + content[place:]
        yield model, content


class Fuzzer:
    """Tries inputs, counts what became of them and saves those that make a reader fail."""

    def __init__(self, saved: Path, scratch: Path) -> None:
        self.saved, self.file = saved, scratch / "input"
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []

    def attempt(self, what: str, content: bytes, read: Callable[[Path], object]) -> None:
        self.file.write_bytes(content)
        try:
            read(self.file)
            self.outcomes[f"{what}: accepted"] += 1
        except PipelineError as error:
            self.outcomes[f"{what}: {self.reason(error)}"] += 1
            if len(str(error).splitlines()) != 1:
                self.fail(what, content, "a message of several lines")
        except Exception as error:
            self.fail(what, content, f"{type(error).__name__}: {error}"[:200])

    def fail(self, what: str, content: bytes, why: str) -> None:
        self.saved.mkdir(parents=True, exist_ok=True)
        path = self.saved / f"{what} {len(self.failures)}"
        path.write_bytes(content)
        self.failures.append(f"{path}: {why}")
        print(f"FAILED {self.failures[-1]}", flush=True)

    def reason(self, error: PipelineError) -> str:
        """What an error says, without the names and numbers in it."""
        text = str(error).removeprefix(f"{self.file}: ")
        text = re.sub(r"^[\w.\[\]']+ = .*: (?=[A-Z])|^[\w.]+(?=: missing)|^.* = .*(?=: unknown)", "", text)
        return f"{type(error).__name__}: " + re.sub(r"\W*['\"\d(].*", "", text)[:60]


def check_archive(path: Path) -> None:
    archive = read_archive(path)
    for part in (archive.train, archive.test):
        assert part.images.shape == (len(part.labels), 32, 32, 3)
        assert part.labels.max() < len(archive.classes)


def fuzz(inputs: int, seed: int, saved: Path) -> Fuzzer:
    """Try `inputs` inputs, half of them archives."""
    made_archives, made_files = archives(random.Random(seed)), parameter_files(random.Random(seed + 1))
    memory = Path("/dev/shm")  # where a hundred thousand files cost no disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        fuzzer = Fuzzer(saved, Path(scratch))
        for number in range(inputs):
            if number % 2:
                model, content = next(made_files)
                fuzzer.attempt("parameters", content, lambda path, model=model: load_parameters(model, path))
            else:
                fuzzer.attempt("archive", next(made_archives), check_archive)
    return fuzzer


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--saved", type=Path, default=Path("state/fuzz"), help="folder for inputs that make a reader fail"
    )
    chosen = parser.parse_args()
    fuzzer = fuzz(chosen.inputs, chosen.seed, chosen.saved)
    for outcome, count in fuzzer.outcomes.most_common():
        print(f"{count:8d}  {outcome}")
    print(f"{chosen.inputs} inputs, seed {chosen.seed}: {len(fuzzer.failures)} failures")
    return 1 if fuzzer.failures else 0


if __name__ == "__main__":
    sys.exit(main())
