"""Names and numbers that KITTI's object benchmark fixes, and where its frames lie."""

from __future__ import annotations

#: A sweep holds float32 x, y, z and reflectance, in [0, 1], of each point.
BYTES_PER_POINT = 16
#: The classes of the benchmark, numbered by place; the other types of objects are of class 0.
CLASS_NAMES = ("ignore", "Car", "Pedestrian", "Cyclist")
THING_CLASSES = (1, 2, 3)
#: The left colour camera, by the name of its folder.
CAMERA = "image_2"


def frame_paths(version: str, frame: str) -> dict[str, str]:
    """Return the files of a frame relative to the root, by the names of their folders.

    Args:
        version: ``training`` or ``testing``.
        frame: its six digits.
    """
    folders = {"velodyne": "bin", CAMERA: "png", "calib": "txt", "label_2": "txt"}
    return {folder: f"{version}/{folder}/{frame}.{suffix}" for folder, suffix in folders.items()}
