"""Images of a handmade world: geometry, light and texture."""

from __future__ import annotations

import numpy as np
import pytest

from cmcr.data.toy.camera import photograph, pixel_rays
from cmcr.data.toy.geometry import box, paint
from cmcr.data.toy.materials import Material
from cmcr.data.toy.raycast import RayCaster
from cmcr.data.toy.rig import CAMERA_AXES, NUSCENES
from cmcr.data.toy.world import Body, Driving, Light, Path, World

SIZE = (60, 80)
INTRINSICS = np.array([[60.0, 0.0, 40.0], [0.0, 60.0, 30.0], [0.0, 0.0, 1.0]])


def world_of(material: Material) -> RayCaster:
    """A floor of one material with a red block on it, the sun low from the left, the camera 2 m up, looking along x."""
    floor = Body(paint(box((0, 60), (-30, 30), (-1, 0)), material, (0.6, 0.6, 0.6), (0.2, 0.2, 0.2)), "flat.other")
    block = Body(paint(box((9, 11), (-1, 1), (0, 2)), Material.PAINT, (0.8, 0.1, 0.1)), "vehicle.car")
    sun = np.array([0.0, 1.0, 0.6]) / np.linalg.norm([1.0, 0.6])
    light = Light(tuple(sun.tolist()), 0.6, 0.4, (0.2, 0.4, 0.9), (0.8, 0.85, 0.9), 500.0)
    path = Path(20.0, [])
    return RayCaster(World((floor, block), light, Driving(path, 0, 1, 0), path, 3.5))


def view() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = CAMERA_AXES, (0.0, 0.0, 2.0)
    return pose


def take(material: Material, seed: int = 0) -> np.ndarray:
    moment = world_of(material).at(0.0, view()[:3, 3])
    return photograph(moment, INTRINSICS, SIZE, view(), np.random.default_rng(seed))


def test_rays_go_through_the_centres_of_pixels() -> None:
    origins, rays = pixel_rays(INTRINSICS, SIZE, view())
    inverse = np.linalg.inv(view())
    points = (origins + 7 * rays) @ inverse[:3, :3].T + inverse[:3, 3]
    pixels = points @ INTRINSICS.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    row, column = np.divmod(np.arange(SIZE[0] * SIZE[1]), SIZE[1])
    np.testing.assert_allclose(pixels, np.stack([column, row], 1), atol=1e-3)


def test_sky_above_block_before_floor() -> None:
    image = take(Material.CONCRETE).astype(float)
    assert image.shape == (*SIZE, 3)
    sky, block = image[2, 40], image[35, 40]
    assert sky[2] > sky[0]
    assert block[0] > 2 * block[1]
    # The block is 2 m wide, its front 9 m away: 13 pixels of 60.
    red = image[35, :, 0] > 1.8 * image[35, :, 1]
    assert red.sum() == pytest.approx(60 * 2 / 9, abs=1)


def test_the_block_throws_its_shadow_away_from_the_sun() -> None:
    image = take(Material.CONCRETE).astype(float).mean(2)
    # Beside the block, on the floor 10 m away (row 30 + 60 * 2 / 10): the sun is on the left.
    left, right = image[42, 40 - 12], image[42, 40 + 12]
    assert right < 0.75 * left


def test_materials_of_one_colour_differ_in_texture() -> None:
    def contrast(material: Material) -> float:
        floor = take(material)[50:, :30].astype(float).mean(2)
        return float(np.abs(np.diff(floor, axis=1)).mean())

    smooth, grass, cobbles = (contrast(m) for m in (Material.CONCRETE, Material.GRASS, Material.COBBLES))
    assert cobbles > 1.5 * smooth
    assert grass > 1.5 * smooth


def test_noise_comes_from_the_generator_alone() -> None:
    np.testing.assert_array_equal(take(Material.GRASS), take(Material.GRASS))
    assert (take(Material.GRASS) != take(Material.GRASS, seed=1)).mean() > 0.3


def test_intrinsics_keep_the_field_of_view_at_any_size() -> None:
    camera = NUSCENES.cameras["CAM_BACK"]
    full, small = camera.intrinsics((900, 1600)), camera.intrinsics((112, 200))
    assert full[0, 0] == pytest.approx(809.2)
    # The outer edges of the outermost pixels lie half a pixel beyond their centres.
    for corner, same in (((-0.5, -0.5), (-0.5, -0.5)), ((1599.5, 899.5), (199.5, 111.5))):
        np.testing.assert_allclose(np.linalg.solve(full, [*corner, 1]), np.linalg.solve(small, [*same, 1]))
