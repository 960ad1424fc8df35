"""Draw the README's pictures of the toy city with nuscenes-devkit: python docs/make_pictures.py ROOT FOLDER."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from nuscenes import NuScenes
from PIL import Image

SCENE, KEYFRAME, CAMERA = "scene-1094", 16, "CAM_FRONT"
WIDTH = 1100


def main() -> None:
    """Render one keyframe: LiDAR points in an image, and the labelled sweep from above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of the toy city")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    arguments = parser.parse_args()
    nusc = NuScenes("v1.0-mini", str(arguments.root), verbose=False)
    scene = next(record for record in nusc.scene if record["name"] == SCENE)
    sample = nusc.get("sample", scene["first_sample_token"])
    for _ in range(KEYFRAME):
        sample = nusc.get("sample", sample["next"])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        overlay, top_view = Path(scratch) / "overlay.png", Path(scratch) / "lidarseg.png"
        nusc.render_pointcloud_in_image(
            sample["token"],
            camera_channel=CAMERA,
            show_lidarseg=True,
            show_lidarseg_legend=True,
            dot_size=12,
            out_path=str(overlay),
            verbose=False,
        )
        nusc.render_sample_data(
            sample["data"]["LIDAR_TOP"],
            show_lidarseg=True,
            show_lidarseg_legend=True,
            underlay_map=False,
            axes_limit=25,
            out_path=str(top_view),
            verbose=False,
        )
        for source in (overlay, top_view):
            image = Image.open(source).convert("RGB")
            image.thumbnail((WIDTH, WIDTH))
            image.save(arguments.folder / f"toy_city_{source.stem}.jpg", quality=88)


if __name__ == "__main__":
    main()
