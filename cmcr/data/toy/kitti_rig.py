"""KITTI's recording vehicle in the toy city (Geiger et al., IJRR 2013): a 64-beam LiDAR and the left colour camera."""

from __future__ import annotations

import numpy as np

from cmcr.data.toy.rig import CameraMounting, LidarMounting, Rig

#: A Velodyne HDL-64E 1.73 m above the ground, x forward, y left; its frame leans like that of the real calibration.
HDL64 = LidarMounting(
    (0.76, 0.0, 1.73),
    0.0,
    -0.6,
    axes=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    elevations_deg=tuple(np.linspace(-24.8, 2.0, 64).tolist()),
    max_range_m=80.0,
)

#: Camera 2 stands so far to the left of camera 0, whose rectified frame the labels are in.
BASELINE_M = 0.06

#: Vehicle of the object benchmark. The camera fires when the LiDAR, half through its turn, looks ahead.
KITTI = Rig(
    HDL64,
    {"image_2": CameraMounting((1.03, BASELINE_M, 1.65), 0.0, 0.0, 721.5, (609.6, 172.9), 0.025, (375, 1242))},
)
