"""Cameras of the toy city: one ray for each pixel, textured and lit, under a sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmcr.data.toy.geometry import f32
from cmcr.data.toy.materials import PROPERTIES, Material
from cmcr.data.toy.patterns import LEVELS, TILE, atlas
from cmcr.data.toy.raycast import Hits, Moment, RayCaster
from cmcr.data.toy.world import Light

_TILE_M = np.array([PROPERTIES[material].tile_m for material in Material], np.float32)
_GLOSS = np.array([PROPERTIES[material].gloss for material in Material], np.float32)
_NOISE = 0.012

Colours = NDArray[np.float32]


def pixel_rays(
    intrinsics: NDArray[np.float64], size: tuple[int, int], world_from_camera: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return origins and unit directions, (H * W, 3) each in the world, of the rays through the pixels' centres.

    The centre of the first pixel is (0, 0), as nuScenes' intrinsics and all who round projections to pixels have it.
    """
    height, width = size
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([column, row, np.ones(size)], -1).reshape(-1, 3)
    rays = pixels @ np.linalg.inv(intrinsics).T @ world_from_camera[:3, :3].T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    origins = np.broadcast_to(world_from_camera[:3, 3], rays.shape)
    return origins.astype(np.float32), rays.astype(np.float32)


def photograph(
    moment: Moment,
    intrinsics: NDArray[np.float64],
    size: tuple[int, int],
    world_from_camera: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the (H, W, 3) RGB image that a camera takes at ``moment``; ``rng`` draws the sensor's noise."""
    light = moment.caster.world.light
    origins, rays = pixel_rays(intrinsics, size, world_from_camera)
    hits = moment.cast(origins, rays)
    image = _sky(light, rays)
    seen = np.flatnonzero(hits.face >= 0)
    hits = Hits(hits.distance[seen], hits.face[seen], hits.weights[seen], hits.normal[seen], hits.cosine[seen])
    rays = rays[seen]
    colour = _surface_colour(moment.caster, hits, float(intrinsics[0, 0]))
    colour *= _illumination(moment, light, hits, origins[: len(seen)] + rays * hits.distance[:, None])[:, None]
    gloss = _GLOSS[moment.caster.mesh.material[hits.face]] * (0.3 + 0.7 * (1 - hits.cosine) ** 3)
    shiny = np.flatnonzero(gloss > 0)
    mirrored = rays[shiny] + 2 * hits.cosine[shiny, None] * hits.normal[shiny]
    colour[shiny] += gloss[shiny, None] * (_sky(light, mirrored) - colour[shiny])
    haze = 1 - np.exp(-hits.distance / light.haze_m)[:, None]
    image[seen] = colour + haze * (f32(light.horizon) - colour)
    image += rng.normal(scale=_NOISE, size=image.shape).astype(np.float32)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).reshape(*size, 3)


def _sky(light: Light, rays: Colours) -> Colours:
    """Bright at the horizon, darker at the zenith; below the horizon, for mirrors, a dull ground."""
    up = np.clip(rays[:, 2:], 0, 1) ** np.float32(0.6)
    sky = f32(light.horizon) + up * (f32(light.zenith) - f32(light.horizon))
    return np.where(rays[:, 2:] < -0.05, np.float32(0.35) * sky, sky)


def _surface_colour(caster: RayCaster, hits: Hits, focal: float) -> Colours:
    """Look the patterns up, at the level whose texels are about as large as the pixel's footprint."""
    mesh = caster.mesh
    texels, starts = atlas()
    material = mesh.material[hits.face]
    place = np.einsum("rc,rcx->rx", hits.weights, mesh.texture[hits.face])
    tile_m = _TILE_M[material]
    footprint = hits.distance / (focal * np.maximum(hits.cosine, 0.08) ** 0.5)
    level = np.clip(np.log2(footprint * TILE / tile_m), 0, LEVELS - 1).astype(np.intp)
    side = TILE >> level
    texel = np.floor(place / tile_m[:, None] * side[:, None]).astype(np.intp) & (side - 1)[:, None]
    mix, shade = texels[starts[material, level] + texel[:, 1] * side + texel[:, 0]].T
    colours = mesh.colours[hits.face]
    return (colours[:, 0] + mix[:, None] * (colours[:, 1] - colours[:, 0])) * np.maximum(shade, 0)[:, None]


def _illumination(moment: Moment, light: Light, hits: Hits, points: Colours) -> Colours:
    """Scattered light from above plus the sun, where it reaches."""
    sun = f32(light.sun)
    bright = light.ambient * (0.75 + 0.25 * hits.normal[:, 2])
    facing = hits.normal @ sun
    lit = np.flatnonzero(facing > 0)
    lit = lit[moment.sees(points[lit], hits.normal[lit], sun)]
    bright[lit] += light.sun_strength * facing[lit]
    return bright
