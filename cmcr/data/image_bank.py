"""The images of a whole index: as pixels to train an encoder on, or as the features that a frozen one gives them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcr.data.images import read_resized
from cmcr.data.index import ScanIndex
from cmcr.data.joined import AnyIndex, locate
from cmcr.data.npy_files import map_npy
from cmcr.errors import DataError
from cmcr.files import atomic_path
from cmcr.progress import progress
from cmcr.reading import reason_of

logger = logging.getLogger(__name__)


class IndexImages:
    """The images of every scan of an index, scan by scan, read when they are asked for."""

    def __init__(self, index: AnyIndex, size: tuple[int, int]):
        """Give images of ``size`` (height, width).

        Raises:
            DataError: the scans have no images.
        """
        self.index, self.size = index, size
        #: (images, 2) scan and camera of each.
        self.places = np.array(
            [(scan, camera) for scan, record in enumerate(index.records) for camera in range(len(record.cameras))],
            dtype=np.int64,
        )
        if not len(self.places):
            raise DataError(f"no scan of {index.dataset}, split {index.split}, has images")

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, chosen: NDArray[np.int64]) -> Tensor:
        """Return the (B, 3, H, W) uint8 images numbered ``chosen`` (B,)."""
        images = [
            read_resized(self.index.read(scan, with_labels=False).cameras[camera], self.size)
            for scan, camera in self.places[chosen].tolist()
        ]
        # Contiguous: the last bit of a convolution depends on how its input lies in memory.
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def write_feature_bank(
    path: Path | str, index: ScanIndex, size: tuple[int, int], encode: Callable[[Tensor], Tensor], device: str = "cpu"
) -> None:
    """Write (scans, cameras, C, h, w) float16 features as an npy file, atomically.

    Args:
        path: the file.
        index: scans that all have the same number of cameras.
        size: (H, W) at which ``encode`` sees the images.
        encode: (I, 3, H, W) images in [0, 1] to (I, C, h, w) features.
        device: where ``encode`` runs.
    """
    # Scan by scan, not into a mapped file: where the disk is full, that would end the process by a signal.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        shape: tuple[int, ...] | None = None
        for position in progress(range(len(index)), len(index), "encoding images of scan", logger):
            images = np.stack(
                [read_resized(camera, size) for camera in index.read(position, with_labels=False).cameras]
            )
            pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
            features = encode(pixels).half().cpu().numpy()
            if shape is None:
                shape = features.shape
                header = {"descr": "<f2", "fortran_order": False, "shape": (len(index), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if features.shape != shape:
                raise ValueError(f"scan {position} has features {features.shape}, those before it {shape}")
            file.write(features.astype("<f2").tobytes())
        if shape is None:
            raise DataError(f"no scans in {index.dataset}, split {index.split}")


def read_feature_bank(path: Path | str, index: ScanIndex | None = None) -> NDArray[np.float16]:
    """Open what `write_feature_bank` wrote, without reading it whole.

    Args:
        path: the file.
        index: the scans that it has to be of; None does not compare.

    Raises:
        DataError: the file is missing or damaged, or of another index.
    """
    fix = "delete it; `cmcr encode-images`, as the workflow runs it, makes it again"
    try:
        bank = map_npy(Path(path))
    except (OSError, ValueError) as error:
        found = reason_of(error)
        raise DataError.at(path, expected="image features as an npy file", found=found, fix=fix) from None
    if bank.ndim != 5 or bank.dtype != np.float16 or not bank.size:
        expected = "image features, float16 by scan, camera, channel, row and column"
        raise DataError.at(path, expected=expected, found=f"{bank.dtype} of shape {bank.shape}", fix=fix)
    wanted = None if index is None or not len(index) else (len(index), len(index.records[0].cameras))
    if wanted is not None and bank.shape[:2] != wanted:
        expected = f"features of {wanted[0]} scans with {wanted[1]} images each"
        raise DataError.at(path, expected=expected, found=f"{bank.shape[0]} with {bank.shape[1]}", fix=fix)
    return bank


class JoinedBank:
    """The feature banks of several data sets as one."""

    def __init__(self, banks: Sequence[NDArray[np.float16]], index: AnyIndex):
        """Put banks together as ``index`` has its parts; those of data sets without cameras have none.

        Raises:
            DataError: there are more or fewer banks than parts with cameras, or their features differ in shape.
        """
        if not banks or len({bank.shape[2:] for bank in banks}) > 1:
            shapes = ", ".join(str(bank.shape) for bank in banks)
            raise DataError(f"image features of {index.dataset}\n  expected: one shape\n  found:    {shapes or 'none'}")
        self.arrays, given = tuple(banks), list(banks)
        self._parts: list[NDArray[np.float16]] = []
        for part in index.parts:
            with_cameras = any(record.cameras for record in part.records)
            if with_cameras and not given:
                raise DataError(f"image features of {index.dataset}: none of {part.dataset} were given")
            self._parts.append(
                given.pop(0) if with_cameras else np.zeros((len(part), 0, *banks[0].shape[2:]), np.float16)
            )
        if given:
            raise DataError(f"image features of {index.dataset}: {len(given)} more than it has data sets with cameras")

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, position: int) -> NDArray[np.float16]:
        """Return the (cameras, C, h, w) features of the scan at ``position``."""
        part, place = locate(position, [len(part) for part in self._parts])
        return self._parts[part][place]


#: Features of all images computed beforehand: (scans, cameras, C, h, w), of one data set or of several.
Bank = NDArray[np.float16] | JoinedBank


def arrays_of(bank: Bank) -> tuple[NDArray[np.float16], ...]:
    """Return the arrays that a bank consists of."""
    return bank.arrays if isinstance(bank, JoinedBank) else (bank,)


def read_banks(paths: Sequence[Path], index: AnyIndex) -> Bank:
    """Open the feature banks of the parts of ``index``, in their order.

    Raises:
        DataError: a file is missing or damaged, or they do not belong together.
    """
    with_cameras = [part for part in index.parts if any(record.cameras for record in part.records)]
    if len(paths) != len(with_cameras):
        return JoinedBank([read_feature_bank(path) for path in paths], index)
    banks = [read_feature_bank(path, part) for path, part in zip(paths, with_cameras, strict=True)]
    return banks[0] if len(index.parts) == 1 else JoinedBank(banks, index)
