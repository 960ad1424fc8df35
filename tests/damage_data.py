"""Data sets damaged in named ways: nuScenes, SemanticKITTI, label maps, KITTI, Waymo."""

from __future__ import annotations

import math
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from damage_commands import check, described, index
from damage_tools import (
    DEEP,
    Change,
    Command,
    Damage,
    becomes,
    cut,
    field,
    gone,
    instead,
    layers_of_references,
    npy,
    npz,
    numbers,
    of_frame,
    on,
    pickled_array,
    png,
    put,
    sparse_file,
    swapped,
    values,
)
from damage_yard import IMAGE, LABEL_MAP, LIDARSEG, PANOPTIC, SWEEP

NUSCENES = ("nuscenes", "v1.0-mini", "mini_train")


def nuscenes_tables() -> list[Damage]:
    listing = index(*NUSCENES)
    damages: list[Damage] = []

    def table(name: str, file: str, change: Change, reason: str, **rest: Any) -> None:
        damages.append(Damage("nuScenes", name, f"v1.0-mini/{file}.json", change, listing, reason, **rest))

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
    table("table a folder", "map", instead("v1.0-mini/map.json", Path.mkdir), "no such file")
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
    return damages


def nuscenes_files() -> list[Damage]:
    listing, walk = index(*NUSCENES), check(*NUSCENES)
    damages: list[Damage] = []

    def scan(name: str, file: str, change: Change, reason: str, command: Command = walk, **rest: Any) -> None:
        damages.append(Damage("nuScenes", name, file, change, command, reason, **rest))

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
    scan("image a text", IMAGE, becomes(IMAGE, "not found"), "no JPEG or PNG, or a damaged header")
    scan("image of another size", IMAGE, becomes(IMAGE, png(30, 30)), "80 x 48")
    scan("image that claims ten gigapixels", IMAGE, becomes(IMAGE, png(10**5, 10**5)), "80 x 48", claims_memory=True)
    scan("image a PostScript program", IMAGE, becomes(IMAGE, "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 48\n"),
         "no JPEG or PNG, or a damaged header")  # fmt: skip
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
    no_rotation = partial(re.sub, rb"Tr: .*", b"Tr: 0 0 0 0 0 0 0 0 0 0 0 0")
    rows: list[tuple[str, str, Change, str]] = [
        ("points cut within a point", points, on(points, lambda b: b[:-3]), "16 bytes each"),
        ("points missing", points, gone(points), "no such file"),
        ("labels missing", labels, gone(labels), "no such file"),
        ("labels one too few", labels, on(labels, lambda b: b[:-4]), "4 for each"),
        ("calibration missing", calib, gone(calib), "No such file"),
        ("calibration without Tr", calib, on(calib, lambda b: b.replace(b"Tr:", b"T:")), "no Tr"),
        ("calibration without a rotation", calib, on(calib, no_rotation), "a rotation in Tr"),
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
        ("image a text", image, becomes(image, "png"), "no JPEG or PNG, or a damaged header"),
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
