"""The 3D backbone: which networks there are, what they make of a batch, and their weights as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, overload

from pydantic import Field, ValidationError
from torch import Tensor

from cmcr.checkpoints import build, read_metadata, save_tensors
from cmcr.data.batches import Batch
from cmcr.data.index import ScanIndex
from cmcr.data.joined import JOIN
from cmcr.data.range_grid import RangeGrid
from cmcr.data.voxels import VoxelGrid
from cmcr.errors import ConfigError, WeightsError
from cmcr.models.minkunet import MinkUNet, MinkUNetOptions
from cmcr.models.voxelnet import VoxelNet, VoxelNetOptions, sample_map
from cmcr.options import Options

#: The networks, by the names that methods and folders have for them.
MINKUNET: Literal["minkunet"] = "minkunet"
VOXELNET: Literal["voxelnet"] = "voxelnet"
NetworkName = Literal["minkunet", "voxelnet"]
NETWORKS: tuple[NetworkName, ...] = (MINKUNET, VOXELNET)

#: A network's size, the cells that it looks at, and the network itself.
NetworkOptions = Annotated[MinkUNetOptions | VoxelNetOptions, Field(discriminator="kind")]
Grid = Annotated[VoxelGrid | RangeGrid, Field(discriminator="kind")]
Backbone = MinkUNet | VoxelNet

#: Channels of a MinkUNet's input: the intensity.
INPUT_CHANNELS = 1
#: Data set of a backbone that was not pre-trained.
NO_DATASET = "none"
#: Stands for the data set of published weights that do not say theirs.
PUBLISHED_DATASET = "published"
#: A linear probe uses the backbone's BatchNorm statistics as stored with its weights, or takes them anew on its scans.
BatchNormStatistics = Literal["stored", "recalibrated"]


class BackboneRecord(Options):
    """What a weight file says about itself."""

    method: str
    """Id of the method that trained it."""
    dataset: str
    """Data set of pre-training, several with a plus between them; ``none`` for a method that does not pre-train,
    ``published`` where it is not known."""
    seed: int
    """Seed of pre-training."""
    backbone: NetworkOptions
    """The network that the weights fill."""
    voxels: Grid
    """The cells it was trained on. On others the weights of a MinkUNet are worth little; a VoxelNet, whose detectors
    are usually pre-trained on larger cells, takes any."""
    data_checksum: str
    """Checksum of the index of its scans, of several with a plus between them; empty for a method that does not
    pre-train."""
    config_hash: str
    """Hash of the options of pre-training."""
    weights_checksum: str = ""
    """SHA-256 of the published file that the weights were imported from; empty for those of our own pre-training."""

    def check(self, path: Path, **expected: str | int) -> None:
        """Refuse weights of another row of the tables.

        Args:
            path: the file that says this of itself.
            expected: what some of ``method``, ``dataset`` and ``seed`` have to be.

        Raises:
            ConfigError: one of them is something else.
        """
        for name, value in expected.items():
            found = getattr(self, name)
            if found != value:
                what = "data set of pre-training" if name == "dataset" else name
                raise ConfigError(f"{path}: weights of another {what}\n  expected: {value}\n  found:    {found}")

    def check_unseen(self, path: Path, index: ScanIndex) -> None:
        """Refuse to be measured on a split that pre-training learned from.

        Args:
            path: the file that says this of itself.
            index: the split to measure on.

        Raises:
            ConfigError: it is among those of pre-training.
        """
        if index.checksum in self.data_checksum.split(JOIN):
            raise ConfigError(
                f"{path}: trained on the very scans it is to be shown, {index.dataset}, split {index.split}\n"
                "  expected: a split that pre-training never saw\n  way out:  name the validation split"
            )


@overload
def make_backbone(options: MinkUNetOptions, grid: VoxelGrid | None = None) -> MinkUNet: ...
@overload
def make_backbone(options: VoxelNetOptions, grid: RangeGrid) -> VoxelNet: ...
@overload
def make_backbone(options: MinkUNetOptions | VoxelNetOptions, grid: VoxelGrid | RangeGrid) -> Backbone: ...


def make_backbone(
    options: MinkUNetOptions | VoxelNetOptions, grid: VoxelGrid | RangeGrid | None = None
) -> MinkUNet | VoxelNet:
    """Build the network, freshly initialised.

    Of a MinkUNet, whose layers do not know its voxels, the last level's features come out; of a VoxelNet, a map.

    Raises:
        ConfigError: network and cells do not go together, or the grid is too low for a VoxelNet.
    """
    if isinstance(options, MinkUNetOptions):
        if isinstance(grid, RangeGrid):
            raise ConfigError("a MinkUNet looks at voxels without bounds, and was given a bounded grid")
        return MinkUNet(options, in_channels=INPUT_CHANNELS, out_channels=None)
    if not isinstance(grid, RangeGrid):
        raise ConfigError("a VoxelNet looks at a bounded grid, and was given none")
    try:
        return VoxelNet(options, grid)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def point_features(backbone: Backbone, batch: Batch) -> Tensor:
    """Return the (V, C) features of a batch's voxels.

    For a VoxelNet every point of a batch is a voxel of its own: what it gets is read from the map, bilinearly.
    """
    if isinstance(backbone, VoxelNet):
        features_M4, coordinates_M4 = batch.cells()
        map_BCHW = backbone(features_M4, coordinates_M4, len(batch.tokens))
        return sample_map(map_BCHW, batch.points_P4, batch.scan_P, backbone.grid)
    return backbone(batch.voxels())


def save_backbone(path: Path, backbone: Backbone, record: BackboneRecord) -> None:
    """Write weights and record as safetensors, atomically."""
    save_tensors(path, backbone.state_dict(), {"backbone": record.model_dump_json()})


def read_record(path: Path) -> BackboneRecord:
    """Read what a weight file says about itself.

    Raises:
        WeightsError: it is missing, damaged or says nothing.
    """
    try:
        return BackboneRecord.model_validate_json(read_metadata(path).get("backbone", ""))
    except ValidationError:
        raise WeightsError(
            f"{path}\n  expected: backbone weights with a record of their network and voxels, as `cmcr pretrain` writes"
            " them\n  found:    no such record, or one of another version\n  way out:  pre-train again"
        ) from None


@overload
def load_backbone(path: Path, options: MinkUNetOptions, voxels: VoxelGrid) -> tuple[MinkUNet, BackboneRecord]: ...
@overload
def load_backbone(
    path: Path, options: MinkUNetOptions | VoxelNetOptions, voxels: VoxelGrid | RangeGrid
) -> tuple[Backbone, BackboneRecord]: ...


def load_backbone(
    path: Path, options: MinkUNetOptions | VoxelNetOptions, voxels: VoxelGrid | RangeGrid
) -> tuple[Backbone, BackboneRecord]:
    """Build the network of ``options`` and fill it.

    ``options`` may differ from those of pre-training in what is no part of the weights: momentum of BatchNorm and, of a
    VoxelNet, the grid.

    Raises:
        WeightsError: the file is missing, damaged, without record, of another network or for other voxels.
    """
    record = read_record(path)
    if isinstance(voxels, VoxelGrid) and record.voxels != voxels:
        raise WeightsError(
            f"{path}\n  expected: weights for the voxels {voxels.model_dump_json()}\n"
            f"  found:    weights for the voxels {record.voxels.model_dump_json()}\n"
            "  way out:  pre-train and fine-tune with the same voxels"
        )
    return build(lambda: make_backbone(options, voxels), path), record
