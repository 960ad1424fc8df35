"""One drive of the toy city as a Waymo segment, true protos in a TFRecord; for the environment of ``make waymo-env``.

It reads what `cmcr.data.toy.waymo_writer` wrote: a drive's JSON, and for each frame an npz and the JPEG images.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zlib
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from waymo_open_dataset import dataset_pb2


def main() -> int:
    """Pack one drive; return the exit code."""
    parser = argparse.ArgumentParser(description="Pack a drive of the toy city as a Waymo segment.")
    parser.add_argument("--drive", required=True, type=Path, help="the drive's JSON")
    parser.add_argument("--root", required=True, type=Path, help="folder that the paths in it count from")
    parser.add_argument("--output", required=True, type=Path, help="TFRecord file")
    arguments = parser.parse_args()
    drive = json.loads(arguments.drive.read_text())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = arguments.output.with_name(f".{arguments.output.name}.{os.getpid()}")
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        for number in range(len(drive["frames"])):
            writer.write(make_frame(arguments.root, drive, number).SerializeToString(deterministic=True))
    temporary.replace(arguments.output)
    return 0


def make_frame(folder: Path, drive: dict[str, Any], number: int) -> Any:
    """Build the proto of one frame."""
    record = drive["frames"][number]
    frame = dataset_pb2.Frame(timestamp_micros=record["timestamp_us"])
    frame.context.name = drive["name"]
    frame.context.stats.location = "toy_city"
    frame.pose.transform.extend(record["world_from_vehicle"])
    lidar = frame.context.laser_calibrations.add(name=dataset_pb2.LaserName.TOP)
    lidar.beam_inclinations.extend(drive["inclinations_rad"])
    lidar.beam_inclination_min, lidar.beam_inclination_max = (
        min(drive["inclinations_rad"]),
        max(drive["inclinations_rad"]),
    )
    lidar.extrinsic.transform.extend(drive["vehicle_from_lidar"])
    for camera in drive["cameras"]:
        calibration = frame.context.camera_calibrations.add(
            name=dataset_pb2.CameraName.Name.Value(camera["name"]), width=camera["size"][1], height=camera["size"][0]
        )
        calibration.intrinsic.extend(camera["intrinsic"])
        calibration.extrinsic.transform.extend(camera["vehicle_from_camera"])
        calibration.rolling_shutter_direction = dataset_pb2.CameraCalibration.GLOBAL_SHUTTER
    for image in record["images"]:
        proto = frame.images.add(name=dataset_pb2.CameraName.Name.Value(image["camera"]))
        proto.image = (folder / image["file"]).read_bytes()
        proto.pose.transform.extend(image["world_from_vehicle"])
        proto.pose_timestamp = image["time_s"]
    for box in record["boxes"]:
        label = frame.laser_labels.add(id=box["id"], type=box["type"], num_lidar_points_in_box=box["num_points"])
        label.box.center_x, label.box.center_y, label.box.center_z = box["centre"]
        label.box.length, label.box.width, label.box.height = box["size"]
        label.box.heading = box["heading"]
    with np.load(folder / record["arrays"], allow_pickle=False) as arrays:
        add_sweep(frame, drive, arrays, labelled=record["labelled"])
    return frame


def add_sweep(frame: Any, drive: dict[str, Any], arrays: Any, *, labelled: bool) -> None:
    """Add the range image of the top LiDAR with its poses, camera projections and labels."""
    beams, columns = len(drive["inclinations_rad"]), len(arrays["column_poses"])
    ring, column = arrays["ring"], arrays["column"]
    row = beams - 1 - ring  # the first row is the highest beam
    image = np.full((beams, columns, 4), -1.0, np.float32)
    image[row, column] = np.column_stack(
        [arrays["range"], arrays["intensity"], np.zeros(len(row)), np.full(len(row), -1.0)]
    )
    poses = np.broadcast_to(arrays["column_poses"], (beams, columns, 6))
    projections = np.zeros((beams, columns, 6), np.int32)
    projections[row, column] = arrays["projections"]
    laser = frame.lasers.add(name=dataset_pb2.LaserName.TOP)
    first = laser.ri_return1
    first.range_image_compressed = packed(dataset_pb2.MatrixFloat(), image)
    first.range_image_pose_compressed = packed(dataset_pb2.MatrixFloat(), poses)
    first.camera_projection_compressed = packed(dataset_pb2.MatrixInt32(), projections)
    nothing = np.full((beams, columns, 4), -1.0, np.float32)
    second = laser.ri_return2
    second.range_image_compressed = packed(dataset_pb2.MatrixFloat(), nothing)
    second.camera_projection_compressed = packed(dataset_pb2.MatrixInt32(), np.zeros((beams, columns, 6), np.int32))
    if labelled:
        labels = np.zeros((beams, columns, 2), np.int32)
        labels[row, column] = np.column_stack([arrays["instance"], arrays["category"]])
        first.segmentation_label_compressed = packed(dataset_pb2.MatrixInt32(), labels)
        second.segmentation_label_compressed = packed(
            dataset_pb2.MatrixInt32(), np.zeros((beams, columns, 2), np.int32)
        )


def packed(matrix: Any, values: np.ndarray) -> bytes:
    """Return a matrix proto, compressed."""
    matrix.data.extend(values.ravel().tolist())
    matrix.shape.dims.extend(values.shape)
    return zlib.compress(matrix.SerializeToString(deterministic=True))


if __name__ == "__main__":
    sys.exit(main())
