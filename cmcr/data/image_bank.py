"""The images of a whole index: as pixels to train an encoder on, or as the features that a frozen one gives them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcr.data.images import read_resized
from cmcr.data.index import ScanIndex
from cmcr.data.npy_files import map_npy
from cmcr.errors import DataError
from cmcr.files import atomic_path
from cmcr.progress import progress
from cmcr.reading import reason_of

logger = logging.getLogger(__name__)


class IndexImages:
    """The images of every scan of an index, scan by scan, read when they are asked for."""

    def __init__(self, index: ScanIndex, size: tuple[int, int]):
        """Give images of ``size`` (height, width).

        Raises:
            DataError: the scans have no images.
        """
        self.index, self.size = index, size
        self.cameras = len(index.records[0].cameras) if len(index) else 0
        if not self.cameras:
            raise DataError(f"no scan of {index.dataset}, split {index.split}, has images")

    def __len__(self) -> int:
        return len(self.index) * self.cameras

    def __getitem__(self, chosen: NDArray[np.int64]) -> Tensor:
        """Return the (B, 3, H, W) uint8 images numbered ``chosen`` (B,)."""
        places = (divmod(int(number), self.cameras) for number in chosen)
        images = [
            read_resized(self.index.read(scan, with_labels=False).cameras[camera], self.size) for scan, camera in places
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
    with atomic_path(path) as temporary:
        bank: np.memmap | None = None
        for position in progress(range(len(index)), len(index), "encoding images of scan", logger):
            images = np.stack(
                [read_resized(camera, size) for camera in index.read(position, with_labels=False).cameras]
            )
            pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
            features = encode(pixels).half().cpu().numpy()
            if bank is None:
                shape = (len(index), *features.shape)
                bank = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            bank[position] = features
        if bank is None:
            raise DataError(f"no scans in {index.dataset}, split {index.split}")
        bank.flush()


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
