"""One Waymo segment, from a TFRecord to files that the suite reads. Runs in the environment of ``make waymo-env``.

Every frame of the segment gives the points of the top LiDAR, the five JPEG images as they are stored, and, where the
frame has them, labels. They are decoded by the official utilities. The segment's JSON is written last: where it is, the
segment is complete as far as its TFRecord goes.

    points/NNN.bin    float32 x, y, z in metres and intensity in [0, 1], in the LiDAR frame: origin at the top LiDAR,
                      axes of the vehicle (x forward, y left, z up), the vehicle's own motion during the sweep made good
    labels/NNN.label  uint32 of each point: class | instance << 16
    images/NNN_*.jpg

Poses lead to a world that begins at the segment's first frame: Waymo's own is the globe, whose coordinates would lose
millimetres in single precision. Intensities are not bounded; their hyperbolic tangent is taken, as OpenPCDet's loader
takes it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import google.protobuf
import numpy as np
import tensorflow as tf
from waymo_open_dataset import dataset_pb2
from waymo_open_dataset.utils import frame_utils

FORMAT, FORMAT_VERSION = "cmcr waymo segment", 1

#: Axes of an image (x right, y down, z forward) in Waymo's camera frame (x forward, y left, z up).
WAYMO_FROM_OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])

TOP = dataset_pb2.LaserName.TOP


class ConversionError(Exception):
    """Nothing can be made of the segment."""


def main() -> int:
    """Convert one segment; return the exit code."""
    parser = argparse.ArgumentParser(description="Convert one Waymo segment.")
    parser.add_argument("--segment", required=True, type=Path, help="TFRecord file")
    parser.add_argument("--root", required=True, type=Path, help="folder of the converted data set")
    parser.add_argument("--split", required=True, help="split of the segment, the first part of all its paths")
    parser.add_argument("--second-return", action="store_true", help="add the points of the second return")
    parser.add_argument("--output", required=True, type=Path, help="the segment's JSON, written last")
    arguments = parser.parse_args()
    if not google.protobuf.__version__.startswith("3."):
        # Later ones refuse what the package hands them, which would look like a damaged file.
        print(
            f"waymo: the protobuf {google.protobuf.__version__} of {sys.executable} cannot read Waymo's frames\n"
            "  expected: protobuf 3.20.3\n  way out:  make waymo-env, or install protobuf==3.20.3 there",
            file=sys.stderr,
        )
        return 1
    try:
        folder = f"{arguments.split}/{arguments.output.stem}"
        content = convert(arguments.segment, arguments.root, folder, arguments.second_return)
    except ConversionError as error:
        print(f"waymo: {error}", file=sys.stderr)
        return 1
    for problem in content["problems"]:
        print(f"waymo: {arguments.segment}: {problem}; the frames before it are kept", file=sys.stderr)
    write(arguments.output, json.dumps(content, indent=1).encode())
    print(f"{len(content['frames'])} frames of {content['segment']}")
    return 0


def convert(segment: Path, root: Path, folder: str, second_return: bool) -> dict[str, Any]:
    """Write the files of every frame that can be read to a folder below the root; return the segment's JSON."""
    frames: list[dict[str, Any]] = []
    problems: list[str] = []
    name, start_from_global = "", np.eye(4)
    records = iter(tf.data.TFRecordDataset(str(segment), compression_type=""))
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except tf.errors.NotFoundError:
            raise ConversionError(f"{segment}: no such file") from None
        except tf.errors.DataLossError as error:  # a wrong checksum, or an end in the middle of a record
            problems.append(f"frame {len(frames)}: damaged record: {error.message}")
            break
        try:
            frame = dataset_pb2.Frame.FromString(record.numpy())
            if not frames:
                name, start_from_global = name_of(frame), np.linalg.inv(matrix(frame.pose))
            elif frame.context.name != name:
                raise ValueError(f"a frame of {frame.context.name[:80]!r}")
            frames.append(convert_frame(frame, root, folder, len(frames), start_from_global, second_return))
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:  # with more, there would be more frames
            raise ConversionError(
                f"{segment}\n  expected: memory for all frames\n  found:    not enough memory for frame {len(frames)}: "
                f"{type(error).__name__} {error}\n  way out:  run the same command with more"
            ) from None
        except Exception as error:  # protobuf and TensorFlow raise what they like on damaged bytes
            problems.append(f"frame {len(frames)}: {type(error).__name__}: {error}".replace("\n", " "))
            break
    if not frames:
        raise ConversionError(
            f"{segment}\n  expected: a TFRecord of Waymo frames\n"
            f"  found:    {problems[0] if problems else 'no record'}\n  way out:  fetch the file again"
        )
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "segment": name}
    return {**head, "second_return": second_return, "problems": problems, "frames": frames}


def name_of(frame: Any) -> str:
    """Return the name of a frame's segment; predictions have files named after it, so it must not lead anywhere."""
    if not re.fullmatch(r"\w[\w-]{0,199}", frame.context.name, re.ASCII):
        raise ValueError(f"context.name is {frame.context.name[:80]!r}, which is no name of a segment")
    return frame.context.name


def convert_frame(
    frame: Any, root: Path, folder: str, number: int, start_from_global: np.ndarray, second_return: bool
) -> dict[str, Any]:
    """Write the files of one frame; return its record."""
    (lidar,) = (c for c in frame.context.laser_calibrations if c.name == TOP)
    origin = matrix(lidar.extrinsic)[:3, 3]
    points, labels = read_points(frame, origin, 2 if second_return else 1)
    record: dict[str, Any] = {
        "token": f"{frame.context.name}_{number:03d}",
        "timestamp_us": frame.timestamp_micros,
        "vehicle_from_lidar": flat(np.vstack([np.column_stack([np.eye(3), origin]), [0, 0, 0, 1]])),
        "world_from_vehicle": flat(start_from_global @ matrix(frame.pose)),
        **save(root, "points", f"{folder}/points/{number:03d}.bin", points.astype("<f4").tobytes()),
        "labels": None,
        "labels_bytes": None,
        "cameras": [],
        "boxes": [box(label) for label in frame.laser_labels],
        "no_label_zones": [zone(polygon, matrix(frame.pose)) for polygon in frame.no_label_zones],
    }
    if labels is not None:
        record |= save(root, "labels", f"{folder}/labels/{number:03d}.label", labels.astype("<u4").tobytes())
    calibrations = {c.name: c for c in frame.context.camera_calibrations}
    for image in sorted(frame.images, key=lambda image: image.name):
        camera, name = calibrations[image.name], dataset_pb2.CameraName.Name.Name(image.name)
        f_u, f_v, c_u, c_v, *distortion = camera.intrinsic
        record["cameras"].append(
            {
                "name": name,
                "size": [camera.height, camera.width],
                # Waymo counts pixels from the edge of the first one (dataset.proto), the suite from its centre.
                "intrinsics": [f_u, 0.0, c_u - 0.5, 0.0, f_v, c_v - 0.5, 0.0, 0.0, 1.0],
                "distortion": list(distortion),
                "vehicle_from_camera": flat(matrix(camera.extrinsic) @ WAYMO_FROM_OPTICAL),
                "world_from_vehicle": flat(start_from_global @ matrix(image.pose)),
                **save(root, "image", f"{folder}/images/{number:03d}_{name}.jpg", image.image),
            }
        )
    return record


def read_points(frame: Any, origin: np.ndarray, returns: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (P, 4) points in the LiDAR frame and (P,) labels, 0 for a return without; None for a frame without."""
    images, projections, segmentation, pose = frame_utils.parse_range_image_and_camera_projection(frame)
    points, labels = [], []
    for number in range(returns):
        (cloud, *_), _ = frame_utils.convert_range_image_to_point_cloud(
            frame, images, projections, pose, ri_index=number, keep_polar_features=True
        )
        points.append(np.column_stack([cloud[:, 3:] - origin, np.tanh(cloud[:, 1])]))
        labels.append(np.zeros(len(cloud), np.uint32))
        if number < len(segmentation.get(TOP, [])):
            image, matrix = images[TOP][number], segmentation[TOP][number]
            there = np.reshape(image.data, image.shape.dims)[..., 0] > 0
            instance, category = np.moveaxis(np.reshape(matrix.data, matrix.shape.dims)[there], -1, 0)
            if instance.max(initial=0) > 0xFFFF:
                raise ConversionError(f"instance {instance.max()} of {frame.context.name} has more than 16 bits")
            labels[-1][:] = category | instance << 16
    return np.concatenate(points), np.concatenate(labels) if TOP in segmentation else None


def box(label: Any) -> dict[str, Any]:
    """Return an annotated box in the vehicle frame: centre, length, width, height in metres, heading in radians."""
    b = label.box
    return {
        "id": label.id,
        "type": int(label.type),
        "centre": [b.center_x, b.center_y, b.center_z],
        "size": [b.length, b.width, b.height],
        "heading": b.heading,
        "num_lidar_points": label.num_lidar_points_in_box,
        "difficulty": int(label.detection_difficulty_level),
    }


def zone(polygon: Any, global_from_vehicle: np.ndarray) -> list[list[float]]:
    """Return the corners of an area in which nothing is labelled, x and y in metres in the vehicle frame."""
    height = np.full(len(polygon.x), global_from_vehicle[2, 3])  # the polygon has none; the vehicle's own is near
    corners = np.column_stack([polygon.x, polygon.y, height, np.ones(len(polygon.x))])
    return (corners @ np.linalg.inv(global_from_vehicle).T)[:, :2].tolist()


def matrix(transform: Any) -> np.ndarray:
    """Return the (4, 4) pose of a proto."""
    return np.reshape(transform.transform, (4, 4))


def flat(pose: np.ndarray) -> list[float]:
    """Return the upper three rows of a pose."""
    return pose[:3].ravel().tolist()


def save(root: Path, key: str, path: str, content: bytes) -> dict[str, Any]:
    """Write a file below the root; return what its record says of it."""
    write(root / path, content)
    return {key: path, f"{key}_bytes": len(content)}


def write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that a kill leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
