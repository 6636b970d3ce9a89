"""Databases of images: our files against AVIF, JPEG XL, WebP, x265 and SVT-AV1.

    python -m benchmarks.image_database DIR.cdb [--file LABEL=views.inr[@SECONDS]]… [--images N]
        [--along PARAMETER] [--minutes M]

Every codec gets the same distinct images in the same run, in the order of a path over the views.
With ``--along`` video codecs get them a second time, with that parameter, such as time, running
fastest: where its steps change less than a turn of the view, a user would order them so.
Rates are bytes on disk, weights included; peers' are bare streams. Results go to
``benchmarks/results/image_database.json`` as they come, and a run that is called again goes on
where the last one stopped, so a long benchmark is a row of short ones.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.image_peers import ImagePeer, Rgb, Video, image_peers
from benchmarks.image_quality import Quality, background, load_lpips
from benchmarks.provenance import ROOT, provenance
from inrvis.decoder.sessions import Device
from inrvis.errors import InrvisError, UsageError
from inrvis.parameters import Cell
from inrvis.sources import cinema
from inrvis.sources.database import ImageDatabase

Record: TypeAlias = dict[str, Any]

RESULTS = ROOT / "benchmarks" / "results" / "image_database.json"
CROPS = ROOT / "build" / "benchmarks" / "image_crops"
_ACCESSES = 9
_CROP = 160


@dataclass(frozen=True)
class Views:
    """The images of a benchmark, in the order of their views."""

    name: str
    images: tuple[Rgb, ...]
    numbers: tuple[int, ...]
    background: tuple[int, int, int]
    shown_number: int

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        return len(self.images) * self.images[0].shape[0] * self.images[0].shape[1]

    @property
    def shown(self) -> int:
        """Where the image is whose crop is kept."""
        return self.numbers.index(self.shown_number)

    def ordered(self, numbers: Sequence[int]) -> Views:
        """The same images in another order."""
        places = {number: place for place, number in enumerate(self.numbers)}
        own = tuple(number for number in numbers if number in places)
        return replace(self, images=tuple(self.images[places[n]] for n in own), numbers=own)

    def crop(self, image: Rgb) -> Rgb:
        """The part of an image that is shown: the densest foreground there is."""
        top, left = self._corner()
        return image[top : top + _CROP, left : left + _CROP]

    def _corner(self) -> tuple[int, int]:
        original = self.images[self.shown].astype(np.int32)
        # What changes most from pixel to pixel shows most of a codec.
        detail = np.abs(np.diff(original, axis=0)).sum(axis=2)[:, :-1]
        detail = detail + np.abs(np.diff(original, axis=1)).sum(axis=2)[:-1]
        sums = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        height, width = (min(_CROP, side) for side in detail.shape)
        boxes = sums[height:, width:] - sums[:-height, width:]
        boxes = boxes - sums[height:, :-width] + sums[:-height, :-width]
        top, left = np.unravel_index(np.argmax(boxes), boxes.shape)
        return int(top), int(left)


def view_order(database: ImageDatabase, column: int, along: str = "") -> list[int]:
    """Numbers of the distinct images of a column, along a path that turns back at each row's end.

    The parameter ``along``, else that of most values, runs fastest, so that neighbours differ by
    one small step.
    """
    parameters = database.parameters
    axes = sorted(
        range(len(parameters)),
        key=lambda i: (parameters[i].name == along, len(parameters[i].values)),
    )

    def place(values: tuple[int, ...]) -> tuple[int, ...]:
        key, rank = [], 0
        for axis in axes:
            count = len(database.parameters[axis].values)
            step = count - 1 - values[axis] if rank % 2 else values[axis]
            key.append(step)
            rank = rank * count + step
        return tuple(key)

    cells = [cell for cell in database.cells if cell.images[column] >= 0]
    sphere = [p for p, q in enumerate(database.parameters) if q.name in ("phi", "theta")]
    grid = math.prod(len(parameter.values) for parameter in database.parameters)
    if not along and len(sphere) == 2 and 2 * len(cells) < grid:
        cells = _path_over_sphere(database, cells, sphere)
    else:
        cells.sort(key=lambda cell: place(cell.values))
    return list(dict.fromkeys(cell.images[column] for cell in cells))


def _path_over_sphere(
    database: ImageDatabase, cells: Sequence[Cell], sphere: Sequence[int]
) -> list[Cell]:
    """Scattered views: always on to the nearest that is left, and back the same way.

    A new step of the other parameters starts where the last one ended.
    """
    steps: dict[tuple[int, ...], list[Cell]] = {}
    for cell in cells:
        rest = tuple(v for axis, v in enumerate(cell.values) if axis not in sphere)
        steps.setdefault(rest, []).append(cell)
    ordered: list[Cell] = []
    for rest in sorted(steps):
        left = steps[rest]
        points = np.array([_direction(database, cell) for cell in left])
        here = _direction(database, ordered[-1]) if ordered else points[0]
        free = np.ones(len(left), bool)
        for _ in left:
            nearest = int(np.argmax(np.where(free, points @ here, -2)))
            free[nearest] = False
            here = points[nearest]
            ordered.append(left[nearest])
    return ordered


def _direction(database: ImageDatabase, cell: Cell) -> npt.NDArray[np.float64]:
    named = zip(database.parameters, cell.values, strict=True)
    texts = {parameter.name: parameter.values[index] for parameter, index in named}
    phi, theta = (math.radians(float(texts[name])) for name in ("phi", "theta"))
    return np.array(
        [math.cos(theta) * math.cos(phi), math.cos(theta) * math.sin(phi), math.sin(theta)]
    )


def load(
    folder: Path, name: str, column: str | None, most: int | None, along: str = ""
) -> tuple[Views, Views]:
    """Read the images of a database: of one column, one size, RGB; in two orders."""
    database = cinema.read(folder, columns=None if column is None else [column])
    position = next(p for p in range(len(database.columns)) if _has_colours(database, p))
    numbers = view_order(database, position)
    shapes = Counter(database.images[number].shape for number in numbers)
    shape = shapes.most_common(1)[0][0]
    if len(shapes) > 1 or len(shape) != 3 or shape[2] != 3:
        raise UsageError(f"{folder} must hold RGB images of one size here, not {dict(shapes)}")
    if most is not None and most < len(numbers):
        # A stretch of the path keeps neighbours as near to each other as they are in the whole.
        start = (len(numbers) - most) // 2
        numbers = numbers[start : start + most]
    images = tuple(database.images[number].load() for number in numbers)
    some = images[:: max(1, len(images) // 8)]
    views = Views(name, images, tuple(numbers), background(some), numbers[len(numbers) // 2])
    if along and along not in [parameter.name for parameter in database.parameters]:
        raise UsageError(f"{folder} has no parameter {along!r}")
    return views, views.ordered(view_order(database, position, along)) if along else views


def _has_colours(database: ImageDatabase, column: int) -> bool:
    numbers = {cell.images[column] for cell in database.cells} - {-1}
    return any(database.images[number].channels == 3 for number in numbers)


# ------------------------------------------------------------------ measuring


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _judge(views: Views, decoded: Iterator[Rgb], lpips: Any, crop: Path) -> tuple[Record, float]:
    """Quality, and the seconds that decoding alone took."""
    quality, seconds = Quality(views.background, lpips), 0.0
    for number, original in enumerate(views.images):
        image, taken = _timed(lambda: next(decoded))
        seconds += taken
        quality.add(original, image)
        if number == views.shown:
            _save_crop(views.crop(image), crop)
    return quality.record(), seconds


def _save_crop(pixels: Rgb, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _access_seconds(access: Callable[[int], Any], count: int) -> float:
    order = np.random.default_rng(0).permutation(count)[:_ACCESSES].tolist()
    access(order[0])
    return statistics.median(_timed(partial(access, k))[1] for k in order)


def measure_peer(
    peer: ImagePeer, setting: float, views: Views, lpips: Any, label: str = ""
) -> Record:
    """Encode, decode and judge at one setting."""
    label = label or peer.label
    # A first call loads the library and its tables.
    peer.encode(views.images[:1], setting)
    stream, encode_seconds = _timed(lambda: peer.encode(views.images, setting))
    crop = crop_path(views.name, label, setting)
    quality, decode_seconds = _judge(views, peer.decode(stream), lpips, crop)
    count = len(views.images)
    return {
        "codec": label,
        peer.setting_name: setting,
        "setting": setting,
        "encoded_bytes": stream.nbytes,
        "bits_per_pixel": 8 * stream.nbytes / views.pixels,
        **quality,
        "encode_seconds": encode_seconds,
        "decode_seconds_per_image": decode_seconds / count,
        "access_seconds": _access_seconds(lambda k: peer.access(stream, k), count),
    }


def measure_file(label: str, path: Path, views: Views, device: Device, lpips: Any) -> Record:
    """Judge a file of ours that holds the views; its rate counts all it holds."""
    from inrvis.decoder.images import Images

    with Images(path, device) as images:
        numbers = views.numbers
        images.decode(numbers[0])
        # Arrays are on the host when `decode` returns, so a GPU has finished by then.
        crop = crop_path(views.name, label, 0)
        quality, decode_seconds = _judge(
            views, (images.decode(number) for number in numbers), lpips, crop
        )

        def access(position: int) -> None:
            images.close()
            images.decode(numbers[position])

        access_seconds = _access_seconds(access, len(numbers))
        kinds = [images.kind(number) for number in range(images.count)]
        pixels = sum(kind.height * kind.width for kind in kinds)
        encoding = dict(images.header.encoding)
        used = images.device
    size = path.stat().st_size
    return {
        "codec": label,
        "setting": 0,
        "encoded_bytes": size,
        "images_in_file": len(kinds),
        "bits_per_pixel": 8 * size / pixels,
        **quality,
        "device": used,
        "decode_seconds_per_image": decode_seconds / len(numbers),
        "access_seconds": access_seconds,
        "encoding": encoding,
    }


def _with_seconds(measure: Callable[[], Record], seconds: float) -> Record:
    return {**measure(), "encode_seconds": None if math.isnan(seconds) else seconds}


def crop_path(database: str, codec: str, setting: float) -> Path:
    """File of a codec's crop."""
    return CROPS / database / f"{codec.replace(' ', '_')}_{setting:g}.png"


# ------------------------------------------------------------------ comparing


def between(points: Sequence[tuple[float, float]], at: float) -> float | None:
    """Value of a line through points at one place; None outside of them."""
    for (low, a), (high, b) in pairwise(sorted(points)):
        if low <= at <= high:
            return a + (b - a) * (at - low) / (high - low or 1)
    return None


def rate_at(records: Sequence[Record], psnr_db: float) -> float | None:
    """Bits a pixel of a codec at a PSNR: between its settings, along the logarithm of the rate."""
    log = between([(r["psnr_db"], math.log(r["bits_per_pixel"])) for r in _lossy(records)], psnr_db)
    return None if log is None else math.exp(log)


def psnr_at(records: Sequence[Record], rate: float) -> float | None:
    """PSNR of a codec at a rate, along the logarithm of the rate."""
    points = [(math.log(r["bits_per_pixel"]), r["psnr_db"]) for r in _lossy(records)]
    return between(points, math.log(rate))


def _lossy(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["psnr_db"] is not None]


def compare(entry: Record) -> list[Record]:
    """Each of our files against each peer: bits a pixel at its PSNR, and PSNR at its rate."""
    rows = []
    for ours in (r for r in entry["records"] if r.get("images_in_file")):
        if ours["psnr_db"] is None:
            continue
        row: Record = {"file": ours["codec"], "rate_ratio": {}, "psnr_gain_db": {}}
        peers = [r for r in entry["records"] if not r.get("images_in_file")]
        for codec in dict.fromkeys(r["codec"] for r in peers):
            theirs = [r for r in peers if r["codec"] == codec]
            rate = rate_at(theirs, ours["psnr_db"])
            psnr = psnr_at(theirs, ours["bits_per_pixel"])
            row["rate_ratio"][codec] = rate and ours["bits_per_pixel"] / rate
            row["psnr_gain_db"][codec] = None if psnr is None else ours["psnr_db"] - psnr
        rows.append(row)
    return rows


# ------------------------------------------------------------------ the run


def _stored(path: Path) -> Record:
    return json.loads(path.read_text())["results"] if path.exists() else {}


def _store(path: Path, name: str, entry: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {**_stored(path), name: entry}
    text = json.dumps({"provenance": provenance(), "results": results}, indent=1)
    temporary = path.with_suffix(".part")
    temporary.write_text(text + "\n")
    temporary.replace(path)


def run(arguments: argparse.Namespace) -> bool:
    """Measure what is not measured yet; False where time ran out first."""
    deadline = time.monotonic() + 60 * arguments.minutes if arguments.minutes else math.inf
    name = arguments.name or arguments.database.stem
    views, along = load(
        arguments.database, name, arguments.column, arguments.images, arguments.along
    )
    lpips, no_lpips = load_lpips()
    height, width, _ = views.images[0].shape
    facts = {
        "images": len(views.images),
        "height": height,
        "width": width,
        "background": list(views.background),
        "lpips": no_lpips or "AlexNet",
        "threads": len(os.sched_getaffinity(0)),
    }
    entry = _stored(arguments.results).get(name) or {**facts, "records": []}
    if any(entry[key] != facts[key] for key in ("images", "height", "width")):
        raise UsageError(
            f"{arguments.results} holds {entry['images']} images of this name; give another --name"
        )
    _save_crop(views.crop(views.images[views.shown]), crop_path(views.name, "original", 0))
    entry["absent"] = {}
    device: Device = arguments.device
    work: list[tuple[str, float, Callable[[], Record]]] = []
    for label, file in (file.split("=", 1) for file in arguments.file):
        path, _, seconds = file.partition("@")
        measure = partial(measure_file, label, Path(path), views, device, lpips)
        work.append((label, 0, partial(_with_seconds, measure, float(seconds or "nan"))))
    for peer in [] if arguments.no_peers else image_peers(arguments.peers):
        if reason := peer.missing():
            entry["absent"][peer.label] = reason
            continue
        orders = {peer.label: views}
        if arguments.along and isinstance(peer, Video):
            orders[f"{peer.label} along {arguments.along}"] = along
        work += [
            (label, s, partial(measure_peer, peer, s, order, lpips, label))
            for label, order in orders.items()
            for s in peer.settings
        ]
    done = {(r["codec"], r["setting"]) for r in entry["records"]}
    if arguments.again:
        done -= {(label, setting) for label, setting, _ in work}
    for label, setting, task in work:
        if (label, setting) in done:
            continue
        if time.monotonic() > deadline:
            print("time is up; call again to go on")
            return False
        record = task()
        psnr, seconds = record["psnr_db"] or math.inf, record["encode_seconds"] or 0
        entry["records"] = [
            r for r in entry["records"] if (r["codec"], r["setting"]) != (label, setting)
        ] + [record]
        entry["comparison"] = compare(entry)
        _store(arguments.results, name, entry)
        print(
            f"{label:22} {setting:5g}  {record['bits_per_pixel']:.4f} bpp  "
            f"{psnr:.2f} dB  encode {seconds:.1f} s  "
            f"decode {1e3 * record['decode_seconds_per_image']:.0f} ms",
            flush=True,
        )
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; exit status 3 where there is more to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--name", help="under which results are kept; the folder's by default")
    parser.add_argument("--column", help="column of files; the first of colours by default")
    parser.add_argument("--along", default="", metavar="PARAMETER", help="order for video codecs")
    parser.add_argument("--images", type=int, help="a stretch of so many images instead of all")
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="LABEL=FILE.inr[@SECONDS]",
        help="a file of ours, and what its encoding took",
    )
    parser.add_argument("--peers", nargs="*", default=[], help="some of them instead of all")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--minutes", type=float, help="start nothing new after so long")
    parser.add_argument("--again", action="store_true", help="measure anew what is there already")
    parser.add_argument("--results", type=Path, default=RESULTS)
    # SVT-AV1 tells its settings on standard error otherwise.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        return 0 if run(parser.parse_args(arguments)) else 3
    except InrvisError as error:
        parser.exit(error.exit_status, f"{error}\n")


if __name__ == "__main__":
    raise SystemExit(main())
