"""First hits of rays in a toy world, by Embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from cmcr.data.toy.geometry import Mesh, f32, join, turn
from cmcr.data.toy.world import CATEGORY_NUMBER, ORIGIN, Pose, World

#: Moving bodies farther from the eye than this are left out of a frozen moment, and, where only a view is asked for,
#: those farther outside it than this: their shadows may fall into the picture.
_REACH_M, _ASIDE_M = 75.0, 8.0

#: A shadow ray starts this far above its surface, in metres.
_LIFT_M = 0.01


@dataclass(frozen=True, eq=False)
class Hits:
    """What R rays met first.

    Attributes:
        distance: (R,) float32 metres along the ray, infinite where it met nothing.
        face: (R,) int32 triangle of `RayCaster.mesh`, -1 where it met nothing.
        weights: (R, 3) float32 barycentric weights of the triangle's corners.
        normal: (R, 3) float32 unit normal of the side that was met.
        cosine: (R,) float32 cosine of the angle of incidence.
    """

    distance: NDArray[np.float32]
    face: NDArray[np.int32]
    weights: NDArray[np.float32]
    normal: NDArray[np.float32]
    cosine: NDArray[np.float32]


class RayCaster:
    """All triangles of a world; `at` freezes it at a time.

    Attributes:
        world: the world.
        mesh: F triangles of all bodies, standing ones first. Corners of moving ones are in their body's frame.
        body: (F,) int32 number of each triangle's body.
        category: (B,) uint8 category number of each body.
        movers: numbers of the moving bodies.
    """

    def __init__(self, world: World):
        self.world = world
        self.movers = [number for number, body in enumerate(world.bodies) if body.track is not None]
        moving = set(self.movers)
        order = [number for number in range(len(world.bodies)) if number not in moving] + self.movers
        meshes = [_in_world(world.bodies[n].mesh, world.bodies[n].pose, n in moving) for n in order]
        sizes = [len(mesh.corners) for mesh in meshes]
        self.mesh = join(meshes)
        self.body = np.repeat(np.array(order, np.int32), sizes)
        self.category = np.array([CATEGORY_NUMBER[body.category] for body in world.bodies], np.uint8)
        self._static = _scene(self.mesh.corners[: sum(sizes[: len(order) - len(self.movers)])])
        faces = np.arange(len(self.body), dtype=np.int32)
        self._mover_faces = np.split(faces, np.cumsum(sizes)[:-1])[len(order) - len(self.movers) :]

    def at(
        self, time_s: float | NDArray[np.float64], eye: NDArray[np.float64], view: tuple[NDArray, float] | None = None
    ) -> Moment:
        """Freeze the world around ``eye`` at a time, or each moving body (in the order of `movers`) at its own time.

        Args:
            time_s: one time, or one for each moving body.
            eye: (3,) place that rays will start from; moving bodies out of its sight are left out.
            view: (3,) unit direction that the rays will keep to and the tangent of their largest angle to it;
                None for rays in all directions.
        """
        times = np.broadcast_to(time_s, len(self.movers))
        faces, corners = [], []
        for number, time, own in zip(self.movers, times.tolist(), self._mover_faces, strict=True):
            pose = self.world.bodies[number].at(time)
            if _within(np.array(pose[:3]) - eye, view):
                faces.append(own)
                corners.append(turn(self.mesh.corners[own], pose.yaw) + f32(pose[:3]))
        if not faces:
            return Moment(self, self._static, None, np.empty(0, np.int32))
        return Moment(self, self._static, _scene(np.concatenate(corners)), np.concatenate(faces))


class Moment:
    """A world that stands still."""

    def __init__(self, caster: RayCaster, static: EmbreeScene, moving: EmbreeScene | None, faces: NDArray[np.int32]):
        self.caster = caster
        self._static, self._moving, self._moving_faces = static, moving, faces

    def cast(self, origins: NDArray[np.float32], directions: NDArray[np.float32]) -> Hits:
        """Follow (R, 3) rays of unit direction to what they meet first."""
        origins, directions = np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32)
        found = self._static.run(origins, directions, output=1)
        if self._moving is not None:
            nearer = self._moving.run(origins, directions, dists=found["tfar"].copy(), output=1)
            moved = np.flatnonzero(nearer["primID"] >= 0)
            for name in ("tfar", "u", "v", "Ng"):
                found[name][moved] = nearer[name][moved]
            found["primID"][moved] = self._moving_faces[nearer["primID"][moved]]
        hit = found["primID"] >= 0
        normal = found["Ng"]
        normal[~hit] = 0  # Embree leaves anything there
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        cosine = -np.einsum("rx,rx->r", normal, directions)
        normal *= np.where(cosine < 0, np.float32(-1), np.float32(1))[:, None]
        weights = np.stack([1 - found["u"] - found["v"], found["u"], found["v"]], 1)
        distance = np.where(hit, found["tfar"], np.float32(np.inf))
        return Hits(distance, found["primID"], weights, normal, np.abs(cosine))

    def sees(
        self, points: NDArray[np.float32], normals: NDArray[np.float32], direction: NDArray[np.float32]
    ) -> NDArray:
        """Whether nothing lies between (R, 3) surface points and infinity in ``direction``."""
        origins = np.ascontiguousarray(points + _LIFT_M * normals, np.float32)
        directions = np.ascontiguousarray(np.broadcast_to(direction, origins.shape), np.float32)
        free = self._static.run(origins, directions, query="OCCLUDED") < 0
        if self._moving is not None:
            free &= self._moving.run(origins, directions, query="OCCLUDED") < 0
        return free


def _within(offset: NDArray[np.float64], view: tuple[NDArray, float] | None) -> bool:
    """Whether a body at ``offset`` from the eye can matter to rays of a view."""
    if np.hypot(offset[0], offset[1]) > _REACH_M:
        return False
    if view is None:
        return True
    depth = offset @ view[0]
    aside = np.linalg.norm(offset - depth * view[0])
    return bool(depth > -_ASIDE_M and aside < view[1] * max(depth, 0.0) + _ASIDE_M)


def _in_world(mesh: Mesh, pose: Pose, moves: bool) -> Mesh:
    return mesh if moves or pose == ORIGIN else mesh.placed(*pose)


def _scene(corners: NDArray[np.float32]) -> EmbreeScene:
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(corners, np.float32))
    return scene
