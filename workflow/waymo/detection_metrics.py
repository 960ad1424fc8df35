"""Waymo's own detection metrics of arrays in an npz, for the environment of ``make waymo-env``.

The rules are those of the package's ``compute_detection_metrics_main``: boxes in space, matched by the Hungarian
method, at an overlap of 0.7 for vehicles and 0.5 for others; precision at 101 scores. The answer is a JSON of AP and
APH by class and level.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from waymo_open_dataset import label_pb2
from waymo_open_dataset.metrics.ops import py_metrics_ops
from waymo_open_dataset.metrics.python import config_util_py
from waymo_open_dataset.protos import breakdown_pb2, metrics_pb2

#: By the number of the type: unknown, vehicle, pedestrian, sign, cyclist.
IOU_THRESHOLDS = (0.0, 0.7, 0.5, 0.5, 0.5)


def main() -> int:
    """Count; return the exit code."""
    parser = argparse.ArgumentParser(description="Count detections as Waymo does.")
    parser.add_argument("--arrays", required=True, type=Path, help="npz with label_* and found_*")
    parser.add_argument("--output", required=True, type=Path, help="JSON with AP and APH of each breakdown")
    arguments = parser.parse_args()
    config = rules()
    with np.load(arguments.arrays, allow_pickle=False) as arrays:
        found = py_metrics_ops.detection_metrics(
            prediction_bbox=tf.constant(arrays["found_box"], tf.float32),
            prediction_type=tf.constant(arrays["found_type"], tf.uint8),
            prediction_score=tf.constant(arrays["found_score"], tf.float32),
            prediction_frame_id=tf.constant(arrays["found_frame"], tf.int64),
            prediction_overlap_nlz=tf.constant(arrays["found_in_zone"], tf.bool),
            ground_truth_bbox=tf.constant(arrays["label_box"], tf.float32),
            ground_truth_type=tf.constant(arrays["label_type"], tf.uint8),
            ground_truth_frame_id=tf.constant(arrays["label_frame"], tf.int64),
            ground_truth_difficulty=tf.constant(arrays["label_difficulty"], tf.uint8),
            config=config.SerializeToString(),
        )
    names = config_util_py.get_breakdown_names_from_config(config)
    shares = np.column_stack([found.average_precision, found.average_precision_ha_weighted]).clip(0, 1).tolist()
    temporary = arguments.output.with_name(f".{arguments.output.name}.{os.getpid()}")
    temporary.write_text(json.dumps(dict(zip(names, shares, strict=True))))
    temporary.replace(arguments.output)
    return 0


def rules() -> metrics_pb2.Config:
    """Return the challenge's rules, by class alone."""
    return metrics_pb2.Config(
        box_type=label_pb2.Label.Box.TYPE_3D,
        matcher_type=metrics_pb2.MatcherProto.TYPE_HUNGARIAN,
        iou_thresholds=IOU_THRESHOLDS,
        score_cutoffs=[place / 100 for place in range(101)],
        breakdown_generator_ids=[breakdown_pb2.Breakdown.OBJECT_TYPE],
        difficulties=[metrics_pb2.Difficulty(levels=[label_pb2.Label.LEVEL_1, label_pb2.Label.LEVEL_2])],
    )


if __name__ == "__main__":
    sys.exit(main())
