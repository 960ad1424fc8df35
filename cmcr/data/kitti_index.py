"""KITTI's object benchmark: from its folder tree to an index, with every file looked at once.

ImageSets/{train,val}.txt             frames of a split, six digits a line
training/velodyne/000000.bin          sweeps      training/calib/000000.txt      calibration
training/image_2/000000.png           images      training/label_2/000000.txt    boxes (none in testing/)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cmcr.data.image_files import image_size
from cmcr.data.index import Complain, ScanIndex, refuse
from cmcr.data.kitti_calibration import read_calibration
from cmcr.data.kitti_labels import read_objects
from cmcr.data.kitti_names import BYTES_PER_POINT, CAMERA, CLASS_NAMES, THING_CLASSES, frame_paths
from cmcr.data.scan_record import CameraRecord, ScanRecord, to_text
from cmcr.errors import ConfigError, DataError
from cmcr.reading import read_text, reason_of, size_of


def make_index(dataset: str, root: Path, version: str, split: str, complain: Complain = refuse) -> ScanIndex:
    """List the frames of ``split`` in the order of its file. Each frame is a scene of its own.

    The benchmark has no world frame; in the records that of the rectified camera 0, which labels are in, stands for it.

    Args:
        dataset: id of the data set in the config.
        root: folder that holds ``ImageSets`` and the folder of ``version``.
        version: ``training`` or ``testing``.
        split: name of a file in ``ImageSets``, for example ``train`` or ``val``.
        complain: gets what is wrong with a listed frame (no sweep, image, calibration or labels, or one of them is
            damaged); after it, the index is made without the frame.

    Raises:
        ConfigError: there is no such split.
        DataError: no frame is listed, and whatever ``complain`` raises.
    """
    listing = root / "ImageSets" / f"{split}.txt"
    if not listing.is_file():
        known = sorted(path.stem for path in listing.parent.glob("*.txt"))
        raise ConfigError(
            f"{listing}: no such file\n  way out:  one of the splits {', '.join(known) or '(there is none)'}"
        )
    has_labels = (root / version / "label_2").is_dir()
    frames = list(_frames(listing))
    if not frames:
        raise DataError.at(listing, expected="the frames of the split, one a line", found="none")
    records = []
    for frame, place in frames:
        try:
            records.append(_record(root, version, frame, place, has_labels))
        except DataError as error:
            complain(error)
    return ScanIndex(dataset, "kitti", root, split, version, CLASS_NAMES, THING_CLASSES, tuple(records))


def splits_here(root: Path, version: str) -> list[str]:  # noqa: ARG001
    """Return the splits that are listed."""
    return sorted(path.stem for path in (root / "ImageSets").glob("*.txt"))


def _frames(listing: Path) -> Iterator[tuple[str, str]]:
    """Yield each frame and where it is listed."""
    try:
        lines = read_text(listing).splitlines()
    except (OSError, ValueError) as error:
        raise DataError.at(listing, expected="the frames of the split, one a line", found=reason_of(error)) from None
    seen = set()
    for number, line in enumerate(lines, 1):
        frame, place = line.strip(), f"{listing}, line {number}"
        if not frame:
            continue
        if not (len(frame) == 6 and frame.isascii() and frame.isdecimal()) or frame in seen:
            what = "a frame listed before" if frame in seen else f"{frame!r}"
            raise DataError.at(place, expected="six digits of a frame, each frame once", found=what)
        seen.add(frame)
        yield frame, place


def _record(root: Path, version: str, frame: str, place: str, has_labels: bool) -> ScanRecord:
    paths = frame_paths(version, frame)
    size = {folder: size_of(root / path) for folder, path in paths.items()}
    needed = [folder for folder in paths if has_labels or folder != "label_2"]
    if missing := [paths[folder] for folder in needed if size[folder] is None]:
        raise DataError.at(
            place,
            expected=f"frame {frame} with {', '.join(needed)}",
            found=f"no {', '.join(missing)} below {root}",
            fix="fetch the files, or take the frame out of the list",
        )
    lidar_bytes = size["velodyne"] or 0
    if lidar_bytes == 0 or lidar_bytes % BYTES_PER_POINT:
        raise DataError.at(
            root / paths["velodyne"],
            expected=f"a sweep of {BYTES_PER_POINT} bytes for each of its points",
            found=f"{lidar_bytes} bytes",
            fix="fetch the file again",
        )
    if has_labels:
        read_objects(root / paths["label_2"])  # a bad line is found now rather than in the middle of a training
    calibration = read_calibration(root / paths["calib"])
    camera = CameraRecord(
        name=CAMERA,
        image=paths[CAMERA],
        image_bytes=size[CAMERA] or 0,
        size=image_size(root / paths[CAMERA], "an image", "fetch the file again"),
        intrinsics=to_text(calibration.intrinsics),
        world_from_camera=(to_text(calibration.rectified_from_camera[:3]),),
    )
    return ScanRecord(
        token=frame,
        scene=frame,
        timestamp_us=0,  # the benchmark tells no times
        lidar=paths["velodyne"],
        lidar_bytes=lidar_bytes,
        labels=None,
        labels_bytes=None,
        panoptic=None,
        panoptic_bytes=None,
        world_from_lidar=(to_text(calibration.rectified_from_lidar[:3]),),
        cameras=(camera,),
        boxes=paths["label_2"] if has_labels else None,
        boxes_bytes=size["label_2"] if has_labels else None,
    )
