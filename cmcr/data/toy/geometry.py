"""Triangles: solids that the toy city's objects are put together from, and meshes that carry material and colours.

All lengths are metres. A body stands in its own frame: x forward, y left, z up, the origin on the ground below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmcr.data.toy.materials import Material

#: (F, 3, 3) float32 corners of F triangles.
Triangles = NDArray[np.float32]
Colour = tuple[float, float, float]


def f32(values: ArrayLike) -> NDArray[np.float32]:
    """Return ``values`` as an array of float32, the number type of all geometry."""
    return np.asarray(values, np.float32)


@dataclass(frozen=True, eq=False)
class Mesh:
    """F triangles with what a sensor needs to know of their surface.

    Attributes:
        corners: (F, 3, 3) float32.
        texture: (F, 3, 2) float32 place of each corner in its material's pattern, in metres.
        material: (F,) uint8 `Material`.
        colours: (F, 2, 3) float32 RGB in [0, 1] of the pattern's ground and of its figure.
    """

    corners: Triangles
    texture: NDArray[np.float32]
    material: NDArray[np.uint8]
    colours: NDArray[np.float32]

    def __add__(self, other: Mesh) -> Mesh:
        return join([self, other])

    def placed(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Mesh:
        """Return the mesh turned by ``yaw`` (radians) about its own z axis, then shifted. The pattern sticks to it."""
        return Mesh(turn(self.corners, yaw) + f32([x, y, z]), self.texture, self.material, self.colours)

    @property
    def bounds(self) -> NDArray[np.float32]:
        """(2, 3) smallest and largest coordinates."""
        flat = self.corners.reshape(-1, 3)
        return np.stack([flat.min(0), flat.max(0)])


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Put meshes of one frame together, in order."""
    return Mesh(
        np.concatenate([mesh.corners for mesh in meshes]),
        np.concatenate([mesh.texture for mesh in meshes]),
        np.concatenate([mesh.material for mesh in meshes]),
        np.concatenate([mesh.colours for mesh in meshes]),
    )


def paint(triangles: Triangles, material: Material, colour: Colour, figure: Colour | None = None) -> Mesh:
    """Cover triangles with a material.

    The pattern lies on floors and roofs by x and y, on walls by the horizontal direction along the wall and by height,
    so that a band or a row of bricks keeps its level around a corner.
    """
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    level = np.hypot(normals[:, 0], normals[:, 1])
    is_flat = np.abs(normals[:, 2]) > level
    along = np.stack([-normals[:, 1], normals[:, 0]], 1) / np.maximum(level, 1e-9)[:, None]
    on_wall = np.stack([np.einsum("fcx,fx->fc", triangles[:, :, :2], along), triangles[:, :, 2]], 2)
    count = len(triangles)
    return Mesh(
        triangles.astype(np.float32),
        np.where(is_flat[:, None, None], triangles[:, :, :2], on_wall).astype(np.float32),
        np.full(count, material, np.uint8),
        np.tile(f32([colour, figure or colour]), (count, 1, 1)),
    )


def turn(triangles: Triangles, yaw: float) -> Triangles:
    """Rotate about the z axis."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return triangles @ f32([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Triangles:
    """12 triangles of an axis-aligned box."""
    profile = [(x[0], z[0]), (x[1], z[0]), (x[1], z[1]), (x[0], z[1])]
    return prism(profile, [y[1]] * 4, [y[0]] * 4)


def prism(profile: Sequence[tuple[float, float]], left: Sequence[float], right: Sequence[float]) -> Triangles:
    """A solid between two side faces: the convex outline ``profile`` in x and z, at y = ``left`` and y = ``right``."""
    outline = f32(profile)
    sides = [np.stack([outline[:, 0], f32(y), outline[:, 1]], 1) for y in (left, right)]
    faces = [fan(side) for side in sides]
    follow = [np.roll(side, -1, 0) for side in sides]
    faces.append(quads(sides[0], follow[0], follow[1], sides[1]))
    return np.concatenate(faces)


def fan(outline: NDArray[np.float32]) -> Triangles:
    """Fill a convex outline (N, 3) with N - 2 triangles."""
    return np.stack([np.broadcast_to(outline[0], outline[2:].shape), outline[1:-1], outline[2:]], 1)


def quads(*corners: NDArray[np.float32]) -> Triangles:
    """Split Q quadrilaterals, given by four (Q, 3) arrays of corners in order, into 2 Q triangles."""
    a, b, c, d = corners
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.float32)


def tube(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None, sides: int = 8) -> Triangles:
    """A closed cylinder or cone frustum between two points; an end of radius 0 is a tip."""
    foot, head = f32(start), f32(end)
    axis = (head - foot) / np.linalg.norm(head - foot)
    across = np.cross(axis, f32([0, 0, 1] if abs(axis[2]) < 0.9 else [1, 0, 0]))
    across /= np.linalg.norm(across)
    angle = np.arange(sides) * (2 * np.pi / sides)
    circle = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * np.cross(axis, across)
    low = foot + radius * circle
    high = head + (radius if end_radius is None else end_radius) * circle
    wall = quads(low, np.roll(low, -1, 0), np.roll(high, -1, 0), high)
    return np.concatenate([wall, fan(low), fan(high)]).astype(np.float32)


def hoop(centre: ArrayLike, radius: float, rim: float, width: float, sides: int = 12) -> Triangles:
    """A wheel without its disc: the flat ring of depth ``rim`` around the y axis, of breadth ``width``."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    circle = np.stack([np.cos(angle), np.zeros(sides), np.sin(angle)], 1)
    shift = f32([0, width / 2, 0])
    outer, inner = f32(centre) + radius * circle, f32(centre) + (radius - rim) * circle
    rings = [outer - shift, outer + shift, inner + shift, inner - shift]
    faces = [
        quads(rings[i], np.roll(rings[i], -1, 0), np.roll(rings[i - 3], -1, 0), rings[i - 3]) for i in range(len(rings))
    ]
    return np.concatenate(faces).astype(np.float32)


def ellipsoid(centre: ArrayLike, radii: ArrayLike, sides: int = 8, rows: int = 4) -> Triangles:
    """A ball of ``rows`` belts."""
    azimuth = np.arange(sides) * (2 * np.pi / sides)
    polar = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
    level = np.cos(polar)[:, None]
    grid = np.stack(
        [level * np.cos(azimuth), level * np.sin(azimuth), np.broadcast_to(np.sin(polar)[:, None], (rows + 1, sides))],
        2,
    )
    grid = f32(centre) + grid * f32(radii)
    belts = [quads(low, np.roll(low, -1, 0), np.roll(high, -1, 0), high) for low, high in pairwise(grid)]
    return np.concatenate(belts).astype(np.float32)


def leaves(centre: ArrayLike, radii: ArrayLike, count: int, size: float, rng: np.random.Generator) -> Triangles:
    """``count`` loose triangles of about ``size`` in an ellipsoid, denser towards its hull: a crown of a tree."""
    direction = rng.normal(size=(count, 1, 3))
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    middle = direction * rng.uniform(0.3, 1.0, (count, 1, 1)) ** 0.5
    corners = f32(centre) + middle * f32(radii) + rng.normal(scale=size / 2, size=(count, 3, 3))
    return corners.astype(np.float32)
