"""Data, weights and results damaged in named ways, and what the suite answers to each.

`tests/test_bad_input.py` runs all of them; run as a program, this file writes ``docs/bad-input.md``.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from damage_tools import (
    HEADROOM_BYTES,
    ROOT,
    Answer,
    Change,
    Command,
    Damage,
    Trap,
    answer_to,
    becomes,
    check,
    collect,
    cut,
    described,
    draw_course,
    export_weights,
    field,
    finetune,
    gains,
    gone,
    header_of_index,
    import_weights,
    in_itself,
    index,
    instead,
    layers_of_references,
    npy,
    npz,
    numbers,
    of_frame,
    on,
    packed,
    pickled_array,
    plan,
    png,
    pretrain,
    published,
    put,
    record_of_index,
    safetensors,
    sparse_file,
    step_times,
    subset,
    swapped,
    tables,
    torch_file,
    turned,
    values,
)
from damage_yard import IMAGE, LABEL_MAP, LIDARSEG, PANOPTIC, SWEEP, build_yard

PAGE = ROOT / "docs" / "bad-input.md"

DEEP = "[" * 100_000


def nuscenes() -> list[Damage]:
    listing, walk = (make("nuscenes", "v1.0-mini", "mini_train") for make in (index, check))
    damages: list[Damage] = []

    def table(name: str, file: str, change: Change, reason: str, **rest: Any) -> None:
        damages.append(Damage("nuScenes", name, f"v1.0-mini/{file}.json", change, listing, reason, **rest))

    def scan(name: str, file: str, change: Change, reason: str, command: Command = walk, **rest: Any) -> None:
        damages.append(Damage("nuScenes", name, file, change, command, reason, **rest))

    def edit(name: str, file: str, key: str, value: Any, reason: str, place: int = 0) -> None:
        table(name, file, field(f"v1.0-mini/{file}.json", key, value, place), reason)

    def of_file(file: str, key: str, value: Any) -> Change:
        def change(records: Any) -> Any:
            next(record for record in records if record["filename"] == file)[key] = value
            return records

        return values("v1.0-mini/sample_data.json", change)

    def of_camera(key: str, value: Any) -> Change:
        def change(records: Any) -> Any:
            for record in records:
                if record["camera_intrinsic"]:
                    record[key] = value
            return records

        return values("v1.0-mini/calibrated_sensor.json", change)

    table("table missing", "sample", gone("v1.0-mini/sample.json"), "no such file")
    table("table cut short", "scene", cut("v1.0-mini/scene.json"), "damaged")
    table("table empty", "ego_pose", becomes("v1.0-mini/ego_pose.json", ""), "damaged")
    table("table no list", "attribute", becomes("v1.0-mini/attribute.json", "{}"), "list of records")
    table("table nested without end", "log", becomes("v1.0-mini/log.json", DEEP), "nested too deeply")
    table("table not in UTF-8", "category", becomes("v1.0-mini/category.json", b"\xff\xfe["), "damaged")
    scan("table a folder", "v1.0-mini/map.json", instead("v1.0-mini/map.json", Path.mkdir), "no such file", listing)
    edit("rotation with NaN", "ego_pose", "rotation", [math.nan, 0, 0, 0], "finite numbers")
    edit("rotation in which a digit was lost", "ego_pose", "rotation", [0.1, 0, 0, 0.6], "length 1")
    edit("rotation a text", "calibrated_sensor", "rotation", "north", "finite numbers", 0)
    edit("translation too short", "ego_pose", "translation", [1, 2], "3 finite numbers")
    edit("token that points nowhere", "sample_data", "ego_pose_token", "nowhere", "which no record has")
    edit("token no text", "sample", "token", ["a"], "whose token is a text")
    edit("scene longer than its chain", "scene", "nbr_samples", 7, "chain of 7")
    edit("number of samples a text", "scene", "nbr_samples", "two", "whole number")
    table(
        "token twice", "sensor",
        values("v1.0-mini/sensor.json", lambda records: [*records, records[0]]), "token of its own",
    )  # fmt: skip
    table(
        "chain that bites its tail", "sample",
        values("v1.0-mini/sample.json", lambda records: [r | {"next": records[0]["token"]} for r in records]),
        "chain of 2 keyframes",
    )  # fmt: skip
    for name, value in {
        "file name that climbs": "samples/../../x.bin",
        "file name from the top": "/etc/passwd",
        "file name with a zero byte": "samples/\0.bin",
        "file name with an escape sequence": "samples/\x1b[31m.bin",
        "file name a number": 5,
    }.items():
        table(name, "sample_data", of_file(SWEEP, "filename", value), "below the data set's root")
    edit("label file name that climbs", "lidarseg", "filename", "../../x.bin", "below the data set's root|no such file")
    damages[-1] = Damage(
        "nuScenes", "label file name that climbs", "x.bin", damages[-1].change, listing, "no such file"
    )
    table("time a text", "sample_data", of_file(SWEEP, "timestamp", "noon"), "whole number")
    table("image height a text", "sample_data", of_file(IMAGE, "height", "48"), "whole number")
    table("image of a terapixel", "sample_data", of_file(IMAGE, "height", 10**12), "at most 67108864 pixels")
    table("camera that sees nothing", "calibrated_sensor", of_camera("camera_intrinsic", [[0] * 3] * 3), "sees")
    edit("categories of another release", "category", "name", "noice", "categories that come with", 0)

    scan("sweep missing", SWEEP, gone(SWEEP), "no such file", listing)
    scan("sweep cut within a point", SWEEP, on(SWEEP, lambda b: b[:-7]), "20 bytes for each", listing)
    scan("sweep empty", SWEEP, becomes(SWEEP, ""), "0 bytes", listing)
    scan("sweep with NaN", SWEEP, numbers(SWEEP, 6, math.nan), "point 1")
    scan("sweep with infinity", SWEEP, numbers(SWEEP, 0, math.inf), "point 0")
    scan("point farther than any LiDAR sees", SWEEP, numbers(SWEEP, 1, 1e30), "at most 1e\\+06 m")
    scan("intensity out of range", SWEEP, numbers(SWEEP, 3, 4096), r"\[0, 255\]")
    scan("sweep a pipe that nobody writes to", SWEEP, instead(SWEEP, os.mkfifo), "no such file", listing)
    scan("sweep a link to itself", SWEEP, instead(SWEEP, lambda p: p.symlink_to(p.name)), "no such file", listing)
    scan("sweep a link to a device", SWEEP, instead(SWEEP, lambda p: p.symlink_to("/dev/zero")), "no such", listing)
    scan("sweep a folder", SWEEP, instead(SWEEP, Path.mkdir), "no such file", listing)
    scan("image missing", IMAGE, gone(IMAGE), "no such file", listing)
    scan("image cut short", IMAGE, cut(IMAGE), "truncated")
    scan("image a text", IMAGE, becomes(IMAGE, "not found"), "no header of a JPEG or PNG")
    scan("image of another size", IMAGE, becomes(IMAGE, png(30, 30)), "80 x 48")
    scan("image that claims ten gigapixels", IMAGE, becomes(IMAGE, png(10**5, 10**5)), "80 x 48", claims_memory=True)
    scan("image a PostScript program", IMAGE, becomes(IMAGE, "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 48\n"),
         "no header of a JPEG or PNG")  # fmt: skip
    scan("labels one too few", LIDARSEG, on(LIDARSEG, lambda b: b[:-1]), "one byte for each", listing)
    scan("label of no category", LIDARSEG, numbers(LIDARSEG, 3, 77, "u1"), "unknown ids 77")
    scan("label file missing", LIDARSEG, gone(LIDARSEG), "no such file", listing)
    scan("panoptic labels no archive", PANOPTIC, becomes(PANOPTIC, "zip"), "not a zip file")
    scan("panoptic labels cut short", PANOPTIC, cut(PANOPTIC), "not a zip file")
    scan("panoptic labels pickled", PANOPTIC, becomes(PANOPTIC, npz(pickled_array())), "only numbers")
    scan("panoptic labels that claim two terabytes", PANOPTIC,
         becomes(PANOPTIC, npz(npy((10**12,), "<u2"))), "header tells of", claims_memory=True)  # fmt: skip
    scan("panoptic labels that unpack to a gigabyte", PANOPTIC,
         lambda folder: put(folder / PANOPTIC, npz(npy((2**29,), "<u2", bytes(2**30)))), "at most",
         claims_memory=True)  # fmt: skip
    elsewhere = npz(npy((2,), "<u2", b"aabb"), "../data.npy")
    scan("panoptic labels under another name", PANOPTIC, becomes(PANOPTIC, elsewhere), "no array 'data'")
    return damages


def semantic_kitti() -> list[Damage]:
    listing, walk = (make("semantic_kitti", "semantic_kitti", "val") for make in (index, check))
    points, labels, image, folder = (
        f"sequences/08/{name}" for name in ("velodyne/000000.bin", "labels/000000.label", "image_2/000000.png", "")
    )
    calib, poses, times = (f"{folder}{name}.txt" for name in ("calib", "poses", "times"))
    turned = lambda text: re.sub(rb"Tr: .*", b"Tr: 0 0 0 0 0 0 0 0 0 0 0 0", text)  # noqa: E731
    rows: list[tuple[str, str, Change, str]] = [
        ("points cut within a point", points, on(points, lambda b: b[:-3]), "16 bytes each"),
        ("points missing", points, gone(points), "no such file"),
        ("labels missing", labels, gone(labels), "no such file"),
        ("labels one too few", labels, on(labels, lambda b: b[:-4]), "4 for each"),
        ("calibration missing", calib, gone(calib), "No such file"),
        ("calibration without Tr", calib, on(calib, lambda b: b.replace(b"Tr:", b"T:")), "no Tr"),
        ("calibration without a rotation", calib, on(calib, turned), "a rotation in Tr"),
        ("calibration not in UTF-8", calib, becomes(calib, b"P2: \xff"), "UTF-8"),
        ("calibration a pipe", calib, instead(calib, os.mkfifo), "no file"),
        ("calibration of a terabyte", calib, lambda root: sparse_file(_free(root / calib)), "bytes; no such file"),
        ("too few poses", poses, on(poses, lambda b: b.splitlines(True)[0]), "2 lines"),
        ("pose no numbers", poses, becomes(poses, "north\nsouth\n"), "12 finite numbers"),
        ("pose with NaN", poses, on(poses, lambda b: b.replace(b"1 ", b"nan ", 1)), "12 finite numbers"),
        ("time beyond all time", times, becomes(times, "0\n1e305\n"), "finite numbers"),
        ("image missing", image, gone(image), "No such file"),
        ("image that claims ten gigapixels", image, becomes(image, png(10**5, 10**5)), "pixels"),
    ]
    damages = [Damage("SemanticKITTI", *row[:3], listing, row[3]) for row in rows]
    odd = "sequences/08/velodyne/\N{SUPERSCRIPT TWO}.bin"
    rows = [
        ("points with NaN", points, numbers(points, 2, math.nan), "point 0"),
        ("intensity above one", points, numbers(points, 7, 17), r"\[0, 1\]"),
        ("label of no class", labels, numbers(labels, 4, 77, "<u4"), "id 77 at point 4"),
        ("image cut short", image, cut(image), "runcated|broken"),
        (
            "a scan whose name is no number",
            odd.replace("velodyne", "labels").replace("bin", "label"),
            becomes(odd, bytes(16)),
            "no such file",
        ),
    ]
    return damages + [Damage("SemanticKITTI", *row[:3], walk, row[3]) for row in rows]


def _free(path: Path) -> Path:
    path.unlink()
    return path


def label_maps() -> list[Damage]:
    rows = {
        "a tag that would run code": ("title: Mine", "title: !!python/object/apply:os.mknod [sprung]", "python/object"),
        "an id of two classes": ("car: {1: car, 2: van}", "car: {0: car}", "belongs to two classes"),
        "a class twice": ("  car:", "  car: {3: cart}\n  car:", "twice"),
        "a folder that climbs": ("clouds/{scene}", "../clouds/{scene}", "below the data set's root"),
        "a folder from the top": ("labels/{scene}", "/labels/{scene}", "below the data set's root"),
        "a folder with a format of its own": ("clouds/{scene}", "clouds/{scene.__class__}", "braces"),
        "a scene that climbs": ('train: ["a"]', 'train: ["../a"]', "below the data set's root"),
        "a class with an escape sequence": ("  car:", '  "c\\x1b[2Jar":', "printable"),
        "based on a file elsewhere": ("title: Mine", "based_on: ../../../mine", "based_on one of"),
        "an unknown key": ("title: Mine", "title: Mine\ntitel: Mine", "unknown key"),
        "a list in place of classes": ("  car: {1: car, 2: van}", "  car: [1, 2]", "dictionary"),
    }
    damages = [
        Damage("label map", name, "mine.yaml", swapped("mine.yaml", old, new), described, reason)
        for name, (old, new, reason) in rows.items()
    ]
    bomb = LABEL_MAP + layers_of_references("more")
    return [
        *damages,
        Damage("label map", "references that stand for billions of values", "mine.yaml", becomes("mine.yaml", bomb),
               described, "more than 100000 values", claims_memory=True),
        Damage("label map", "nested without end", "mine.yaml", becomes("mine.yaml", "a: " + DEEP), described, "nested"),
        Damage("label map", "a value inside of itself", "mine.yaml", becomes("mine.yaml", "a: &a [*a]\n"), described,
               "inside of itself"),
    ]  # fmt: skip


def kitti() -> list[Damage]:
    listing = index("kitti", "training", "train")
    label, calib, image, points = (
        f"training/{name}"
        for name in ("label_2/000003.txt", "calib/000003.txt", "image_2/000003.png", "velodyne/000003.bin")
    )
    frames = "ImageSets/train.txt"
    rows: list[tuple[str, str, Change, str]] = [
        ("label line cut short", label, swapped(label, " 20.00 -1.57", ""), "15 fields"),
        ("label of an unknown type", label, swapped(label, "Car", "Cat"), "one of the types"),
        ("label with NaN", label, swapped(label, "3.90", "nan"), "finite numbers"),
        ("label as large as the sun", label, swapped(label, "3.90", "1e300"), "at most 1e\\+06"),
        ("label without extent", label, swapped(label, "3.90", "0.00"), "above 0"),
        ("label of an unknown occlusion", label, swapped(label, "0.00 0", "0.00 9"), "occlusion"),
        ("labels not in UTF-8", label, becomes(label, b"Car \xff"), "utf-8"),
        ("calibration without P2", calib, swapped(calib, "P2:", "P7:"), "no P2"),
        ("calibration of zeros", calib, swapped(calib, "0.9999 0.01 0 -0.01 0.9999 0", "0 0 0 0 0 0"), "R0_rect"),
        ("calibration a text", calib, swapped(calib, "R0_rect: 0.9999", "R0_rect: one"), "finite numbers"),
        ("frame that climbs", frames, becomes(frames, "../../x\n"), "six digits"),
        ("frame in other digits", frames, becomes(frames, "٠٠٠٠٠٣\n"), "six digits"),
        ("frame twice", frames, becomes(frames, "000003\n000003\n"), "listed before"),
        ("no frame", frames, becomes(frames, "\n"), "none"),
        ("list not in UTF-8", frames, becomes(frames, b"\xff\xfe0\n"), "utf-8"),
        ("list missing", frames, gone(frames), "no such file"),
        ("points missing", frames, gone(points), "no training/velodyne/000003.bin"),
        ("points cut within a point", points, on(points, lambda b: b[:-5]), "16 bytes for each"),
        ("image a text", image, becomes(image, "png"), "no header of a JPEG or PNG"),
        ("image that claims ten gigapixels", image, becomes(image, png(10**5, 10**5)), "pixels"),
    ]
    return [Damage("KITTI", *row[:3], listing, row[3]) for row in rows]


_WAYMO_BOX = {"type": 1, "num_lidar_points": 9, "centre": [1, 2, 3], "size": [4, 2, 1], "heading": 0}


def waymo() -> list[Damage]:
    segment, points, labels = "training/seg.json", "training/seg/0.points", "training/seg/0.labels"
    listing, walk = (make("waymo", "v1", "training") for make in (index, check))
    bent = [1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0]

    def camera(**changes: Any) -> Change:
        return values(segment, partial(_of_camera, changes))

    def boxed(**changes: Any) -> Change:
        return values(segment, of_frame(boxes=[_WAYMO_BOX | changes]))

    rows: list[tuple[str, str, Change, str]] = [
        ("segment cut short", segment, cut(segment), "JSONDecodeError"),
        ("segment nested without end", segment, becomes(segment, DEEP), "nested too deeply"),
        ("segment a list", segment, becomes(segment, "[]"), "TypeError"),
        ("segment of another version", segment, swapped(segment, '_version": 1', '_version": 9'), "version 9"),
        ("no segment", "training", gone(segment), "a JSON for each"),
        ("file name that climbs", segment, values(segment, of_frame(points="../x.bin")), "leads out"),
        ("file name a number", segment, values(segment, of_frame(points=3)), "printable characters"),
        ("token that climbs", segment, values(segment, of_frame(token="../../x")), "leads out"),
        ("size of a file a text", segment, values(segment, of_frame(points_bytes="48")), "whole number"),
        ("pose no rotation", segment, values(segment, of_frame(world_from_vehicle=bent)), "no rotation"),
        ("pose too short", segment, values(segment, of_frame(vehicle_from_lidar=[1])), "12 finite numbers"),
        ("box of no known type", segment, boxed(type=7), "as type"),
        ("box of no height", segment, boxed(size=[4, 2, 0]), "above 0"),
        ("box beyond all numbers", segment, boxed(heading=10**320), "digits"),
        ("image of no size", segment, camera(size=[0, 40]), "pixels"),
        ("image of a terapixel", segment, camera(size=[10**6, 10**6]), "pixels"),
        ("points missing", points, gone(points), "no such file"),
        ("points cut short", points, cut(points), "48 bytes"),
    ]
    damages = [Damage("Waymo", *row[:3], listing, row[3]) for row in rows]
    unknown = numbers(labels, 1, 99, "<u4")
    return [
        *damages,
        Damage("Waymo", "label of no class", labels, unknown, walk, "class 99 at point 1"),
        Damage("Waymo", "points with NaN", points, numbers(points, 1, math.nan), walk, "point 0"),
    ]


def _of_camera(changes: dict[str, Any], content: Any) -> Any:
    content["frames"][0]["cameras"][0] |= changes
    return content


def weights() -> list[Damage]:
    own, pt = "backbone.safetensors", "published.pt"
    exporting, importing = export_weights(own), import_weights(pt)
    huge = {"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}
    listed = {"__metadata__": {"cmcr": "[1]"}}
    expanded = {"model_points": {"conv0p1s1.kernel": torch.ones(1).expand(10**6, 10**4)}}
    rows: list[tuple[str, str, Change, Command, str, bool]] = [
        ("missing", own, gone(own), exporting, "no such weight file", False),
        ("cut short", own, cut(own), exporting, "damaged or truncated", False),
        ("a text", own, becomes(own, "<!DOCTYPE html>"), exporting, "damaged or truncated", False),
        ("header longer than the file", own, becomes(own, safetensors({}, 2**62)), exporting, "damaged", False),
        ("header that claims four gigabytes", own, becomes(own, safetensors(huge)), exporting, "damaged", True),
        ("header nested without end", own, becomes(own, safetensors(DEEP.encode())), exporting, "damaged", False),
        ("record no mapping", own, becomes(own, safetensors(listed)), exporting, "no mapping", False),
        ("weights without a record", "other.safetensors", lambda _: None, export_weights("other.safetensors"),
         "no such record", False),
        ("of another kind of network", "other.safetensors", lambda _: None, import_weights("other.safetensors"),
         "expected: a MinkUNet", False),
        ("published weights cut short", pt, cut(pt), importing, "damaged or truncated", False),
        ("published weights in which a bit was turned", pt, turned(pt), importing, "its own checksum", False),
        ("published weights with code", pt, becomes(pt, torch_file({"a": torch.ones(1), "b": Trap("sprung")})),
         importing, "refused", False),
        ("published weights in themselves", pt, becomes(pt, torch_file(in_itself())), importing, "nested", False),
        ("one number shown ten thousand million times", pt, becomes(pt, torch_file(expanded)), importing,
         "not stored number by number", True),
        ("published weights that unpack to a gigabyte", pt, on(pt, packed), importing, "would unpack to", True),
        ("published weights of nothing", pt, becomes(pt, torch_file({})), importing, "no tensor at all", False),
        ("published weights a list", pt, becomes(pt, torch_file([1.0])), importing, "names with tensors", False),
        ("published weights empty", pt, becomes(pt, b""), importing, "damaged", False),
    ]  # fmt: skip
    return [Damage("weights", *row[:5], claims_memory=row[5]) for row in rows]


def config() -> list[Damage]:
    file = "config.yaml"
    rows: list[tuple[str, Change, str]] = [
        ("missing", gone(file), "No such file"),
        ("no YAML", becomes(file, "a: [1,"), "expected"),
        ("not in UTF-8", becomes(file, b"run_name: \xff"), "utf-8"),
        ("a list", becomes(file, "- a\n"), "found:    list"),
        ("empty", becomes(file, ""), "keys and values"),
        ("a tag that would run code", swapped(file, "smoke", "!!python/object/apply:os.mknod [sprung]"), "python/obj"),
        ("a key twice", on(file, lambda b: b + b"\nseeds: [1]\n"), "twice"),
        ("a mistyped key", swapped(file, "seeds:", "seed:"), "did you mean 'seeds'"),
        ("a name that climbs", swapped(file, "run_name: smoke", "run_name: ../../x"), "run_name"),
        ("an infinite rate", swapped(file, "lr: 2.0e-3", "lr: .inf"), "finite"),
        ("a seed beyond what generators take", swapped(file, "seeds: [0]", "seeds: [99999999999]"), "less than"),
        ("validation split that is trained on", swapped(file, "validation: mini_val", "validation: mini_train"),
         "not scored on what it learned from"),
        ("nested without end", becomes(file, "a: " + DEEP), "nested too deeply"),
        ("a date that is none", swapped(file, "smoke", "2026-99-99"), "month"),
        ("an integer that is none", swapped(file, "smoke", '!!int ""'), "expected"),
    ]  # fmt: skip
    damages = [Damage("config", name, file, change, plan, reason) for name, change, reason in rows]
    bomb = on(file, lambda content: content + layers_of_references("more").encode())
    times = "step_times.tsv"
    return [
        *damages,
        Damage("config", "references that stand for billions of values", file, bomb, plan, "100000 values", True),
        Damage("config", "times of steps no numbers", times, swapped(times, "0.5", "fast"), step_times, "positive"),
        Damage("config", "times of steps missing", times, gone(times), step_times, "No such file"),
    ]


def results() -> list[Damage]:
    scores, table, frames, course = "scores.json", "scores.tsv", "frames.safetensors", "metrics.csv"
    damages: list[Damage] = []

    def add(file: str, command: Command, name: str, change: Change, reason: str) -> None:
        damages.append(Damage("results", name, file, change, command, reason))

    add(scores, collect, "scores missing", gone(scores), "no such scores file")
    add(scores, collect, "scores cut short", cut(scores), "not a JSON file")
    add(scores, collect, "scores edited", swapped(scores, "20.0", "80.0"), "edited after the run")
    add(
        scores,
        collect,
        "scores of another schema version",
        swapped(scores, '_version": 1', '_version": 2'),
        "found:    2",
    )
    add(scores, collect, "scores with NaN", swapped(scores, "20.0", "NaN"), "NaN is not a score")
    add(scores, collect, "scores a list", becomes(scores, "[]"), "JSON object")
    add(scores, collect, "scores a folder", instead(scores, Path.mkdir), "directory")
    add(scores, collect, "scores nested without end", becomes(scores, DEEP), "not a JSON file")
    add(scores, collect, "scores of an unknown task", swapped(scores, '"segmentation"', '"seggmentation"'), "task")
    add(table, tables, "table of scores missing", gone(table), "no such table")
    add(table, tables, "table with a value that is none", swapped(table, "20.0", "twenty"), "damaged table")
    add(table, tables, "table with an infinite value", swapped(table, "20.0", "inf"), "is none")
    add(table, tables, "table without a column", swapped(table, "value", "worth"), "no value")
    add(table, tables, "table with a number twice", on(table, lambda b: b + b.splitlines(True)[1]), "repeats a")
    add(
        table, tables, "table with neither value nor reason", swapped(table, "20.0", ""), "neither a value nor a reason"
    )
    add(table, tables, "table not in UTF-8", on(table, lambda b: b + b"\xff"), "utf-8")
    add(frames, gains, "statistics cut short", cut(frames), "damaged or truncated")
    add(frames, gains, "statistics of no run", becomes(frames, safetensors({})), "no record of their run")
    add(frames, gains, "statistics with a number changed", on(frames, lambda b: b[:-8] + b"\xff" * 8), "own checksum")
    add(course, draw_course, "course missing", gone(course), "no such file")
    add(course, draw_course, "course with a line cut short", cut(course, 0.9), "fields|finite|rise")
    add(course, draw_course, "course with steps that fall", swapped(course, "2,0,", "0,0,"), "rise")
    add(course, draw_course, "course with a loss of NaN", swapped(course, "2.25", "nan"), "finite loss")
    add("published.csv", published, "published numbers with a text", on("published.csv", _spoil), "finite number")
    add("splits.csv", published, "published splits cut short", cut("splits.csv", 0.1), "columns|fields")
    add("names.csv", published, "published names not in UTF-8", becomes("names.csv", b"\xff"), "UTF-8")
    return damages


def _spoil(content: bytes) -> bytes:
    """Make the value of the first published number a text."""
    header, first, rest = content.split(b"\n", 2)
    fields = first.split(b",")
    fields[header.split(b",").index(b"value")] = b"high"
    return b"\n".join([header, b",".join(fields), rest])


def pre_training() -> list[Damage]:
    listed, chosen, bank = "index.jsonl", "subset.txt", "features.npy"
    ppkt, slidr = pretrain("ppkt", num_pairs=64, channels=8), pretrain("slidr", channels=8)
    regions = "superpixels/image.png"
    damages: list[Damage] = []

    def add(file: str, command: Command, name: str, change: Change, reason: str, **rest: Any) -> None:
        damages.append(Damage("pre-training", name, file, change, command, reason, **rest))

    add(listed, subset, "index missing", gone(listed), "No such file")
    add(listed, subset, "index cut short", cut(listed), "cut short")
    add(listed, subset, "index a text", becomes(listed, "scans\n"), "no JSON header")
    add(listed, subset, "index nested without end", becomes(listed, DEEP), "no JSON header")
    add(listed, subset, "index with another scan", swapped(listed, SWEEP, "other.bin"), "damaged or edited")
    add(listed, subset, "index with a class renamed", swapped(listed, '"car"', '"bus"'), "header was damaged")
    add(listed, subset, "index of another version", swapped(listed, '_version": 2', '_version": 1'), "version 1")
    add(
        listed, subset, "index that asks for a reader that is none", on(listed, header_of_index(reader="os")), "readers"
    )
    add(
        listed, subset, "index with a split that climbs", on(listed, header_of_index(split="../../x")), "printable|root"
    )
    add(listed, subset, "index with a token that climbs", on(listed, record_of_index(token="../../x")), "leads out")
    add(listed, subset, "index with a file that climbs", on(listed, record_of_index(lidar="../../x")), "leads out")
    add(listed, subset, "index with a field that is none", on(listed, record_of_index(radar=1)), "radar")
    add(chosen, finetune, "subset missing", gone(chosen), "No such file")
    add(chosen, finetune, "subset cut short", on(chosen, lambda b: b[:-10]), "damaged or edited")
    add(
        chosen, finetune, "subset with a share that is none", swapped(chosen, "percent: 50.0", "percent: nan"), "header"
    )
    add(chosen, finetune, "subset with another rule", swapped(chosen, "rule: scan", "rule: scene"), "damaged or edited")
    add(chosen, finetune, "subset of another version", swapped(chosen, "version 1", "version 2"), "version 1")
    add(chosen, finetune, "subset of another index", _of_another_index, "another index")
    add(bank, ppkt, "features missing", gone(bank), "No such file")
    add(bank, ppkt, "features cut short", cut(bank), "header tells of")
    add(bank, ppkt, "features that claim a terabyte", becomes(bank, npy((2, 6, 4, 10**6, 10**5))), "header tells of",
        claims_memory=True)  # fmt: skip
    add(bank, ppkt, "features pickled", becomes(bank, pickled_array()), "only numbers")
    add(bank, ppkt, "features of other numbers", becomes(bank, npy((2, 6), "<f4", bytes(48))), "float16")
    add(bank, ppkt, "features of another index", becomes(bank, npy((3, 6, 1, 1, 1), content=bytes(36))), "2 scans")
    add(regions, slidr, "superpixels missing", gone(regions), "No such file")
    add(regions, slidr, "superpixels cut short", cut(regions), "runcated|broken|image file")
    add(regions, slidr, "superpixels a text", becomes(regions, "regions"), "no header of a JPEG or PNG")
    add(regions, slidr, "superpixels of another image", becomes(regions, png(80, 48, bytes(81 * 48))), "made from")
    add(regions, slidr, "superpixels that claim ten gigapixels", becomes(regions, png(10**5, 10**5)), "pixels",
        claims_memory=True)  # fmt: skip
    return damages


def _of_another_index(folder: Path) -> None:
    """A subset that is whole, but was chosen from other scans."""
    from dataclasses import replace

    from cmcr.data.subsets import Subset

    other = replace(Subset.load(folder / "subset.txt"), index_checksum="0" * 64)
    (folder / "subset.txt").unlink()
    other.save(folder / "subset.txt")


GROUPS: tuple[Callable[[], list[Damage]], ...] = (
    nuscenes, semantic_kitti, label_maps, kitti, waymo, weights, config, results, pre_training,
)  # fmt: skip
DAMAGES: list[Damage] = [damage for group in GROUPS for damage in group()]


# ---------------------------------------------------------------------------------------------------------------------
# The page

_HEAD = """\
# What bad input gives

Every reader and every command that meets damaged or foreign input stops with one message: the file, what was expected,
what was found, and the way out. No trace is printed, the exit code is 1, nothing half-written is left, and what claims
to be huge is refused before memory is asked for. The tables say what each of {count} damages gives;
`tests/test_bad_input.py` makes every one of them, and fails where this page says something else. What is marked as
limited is run with {headroom} MiB above what the command takes to start.

What is trusted and what is not stands in [security](security.md). This page is printed from the tests by `make docs`.
"""


def page(answers: Sequence[tuple[Damage, Answer]]) -> str:
    """Return ``docs/bad-input.md``."""
    parts = [_HEAD.format(count=len(answers), headroom=HEADROOM_BYTES // 2**20)]
    for group, rows in groupby(answers, key=lambda pair: pair[0].group):
        parts.append(f"\n## {group}\n\n| damage | file | command | answer |\n| --- | --- | --- | --- |")
        for damage, answer in rows:
            name = f"{damage.name} (limited)" if damage.claims_memory else damage.name
            command = damage.command(Path("x"), Path("x"))[0]
            cells = (name, f"`{damage.file}`", f"`{command}`", _short(answer.text, damage))
            parts.append("| " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


def _short(text: str, damage: Damage) -> str:
    """What was expected and what was found, without what differs from one machine to the next."""
    match = re.search(r"^  expected: (.*(?:\n {12}.*)*)\n  found: +(.*(?:\n {12}.*)*)", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("cmcr ") or re.search(damage.reason, line)]
    said = f"expected {match[1]}; found {match[2]}" if match else lines[-1].split(": ", 1)[-1]
    said = re.sub(r"\S*/" + re.escape(Path(damage.file).name), Path(damage.file).name, " ".join(said.split()))
    said = re.sub(r"/[\w/.-]{12,}/", "…/", said)
    said = re.sub(r"\b[0-9a-f]{16,}\b", "…", said)
    if damage.group in ("nuScenes", "pre-training"):  # where a ray just hits or not, processors differ
        said = re.sub(r"\b\d{4,}\b|\d+ bytes not processed", "N", said)
    if damage.file == "config.yaml":  # a copy of the default one, which grows
        said = re.sub(r"in line \d+", "in line N", said)
    said = said if len(said) <= 180 else f"{said[:179]}…"
    return "".join(f"\\{c}" if c in "|`*_[]<>\\" else c for c in said)


def write_page() -> None:
    """Damage everything and write down what it gives."""
    with tempfile.TemporaryDirectory() as folder:
        yard = Path(folder) / "yard"
        build_yard(yard)
        answers = [(d, answer_to(d, yard, Path(folder) / str(number))) for number, d in enumerate(DAMAGES)]
    PAGE.write_text(page(answers), encoding="utf-8")


if __name__ == "__main__":
    write_page()
