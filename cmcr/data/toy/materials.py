"""What surfaces are made of: how the LiDAR and the cameras of the toy city see them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Material(IntEnum):
    """Every surface of the city is made of one of these; its two colours come with the mesh."""

    ASPHALT = 0
    MARKING = 1
    CONCRETE = 2
    PAVING = 3
    COBBLES = 4
    GRASS = 5
    PLASTER = 6
    BRICK = 7
    ROOF = 8
    GLASS = 9
    PAINT = 10
    METAL = 11
    RUBBER = 12
    BARK = 13
    LEAVES = 14
    CLOTH = 15
    SKIN = 16
    STRIPES = 17
    BANDS = 18
    RIBS = 19
    PLANKS = 20
    SIGN = 21
    SOIL = 22


class Properties(NamedTuple):
    """Optical properties of a material.

    Attributes:
        tile_m: side of the square that its pattern repeats after.
        reflectivity: share of the laser's light that a perpendicular surface sends back, in [0, 1].
        gloss: share of the sky that a camera sees mirrored at grazing incidence, in [0, 1].
        transparency: probability that a beam goes through without a return.
    """

    tile_m: float
    reflectivity: float
    gloss: float = 0.0
    transparency: float = 0.0


PROPERTIES = {
    Material.ASPHALT: Properties(4.0, 0.06),
    Material.MARKING: Properties(4.0, 0.35),
    Material.CONCRETE: Properties(3.0, 0.14),
    Material.PAVING: Properties(2.4, 0.11),
    Material.COBBLES: Properties(1.6, 0.09),
    Material.GRASS: Properties(4.0, 0.13),
    Material.PLASTER: Properties(3.2, 0.16),
    Material.BRICK: Properties(3.2, 0.12),
    Material.ROOF: Properties(2.0, 0.10),
    Material.GLASS: Properties(4.0, 0.04, gloss=0.6, transparency=0.5),
    Material.PAINT: Properties(4.0, 0.22, gloss=0.3),
    Material.METAL: Properties(2.0, 0.30, gloss=0.2),
    Material.RUBBER: Properties(1.0, 0.03),
    Material.BARK: Properties(1.0, 0.11),
    Material.LEAVES: Properties(1.5, 0.17, transparency=0.05),
    Material.CLOTH: Properties(1.0, 0.13),
    Material.SKIN: Properties(1.0, 0.18),
    Material.STRIPES: Properties(0.8, 0.30),
    Material.BANDS: Properties(0.5, 0.42),
    Material.RIBS: Properties(1.0, 0.20),
    Material.PLANKS: Properties(1.5, 0.13),
    Material.SIGN: Properties(1.0, 0.85),
    Material.SOIL: Properties(3.0, 0.08),
}
