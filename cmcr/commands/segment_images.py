"""``cmcr segment-images``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cmcr.commands.arguments import from_json
from cmcr.data.index import ScanIndex
from cmcr.data.superpixels import SuperpixelFiles, SuperpixelOptions, make_superpixels
from cmcr.files import write_json


def add_arguments(parser: ArgumentParser) -> None:
    """Images, how they are cut, which share of them, and where the superpixels go."""
    parser.add_argument("--options", required=True, type=from_json(SuperpixelOptions), help="options, JSON")
    parser.add_argument("--index", required=True, type=Path, help="index whose images are cut into superpixels")
    parser.add_argument("--part", type=int, default=0, help="which share of the images, from 0")
    parser.add_argument("--parts", type=int, default=1, help="number of equal shares")
    parser.add_argument("--folder", required=True, type=Path, help="where the superpixels go, a PNG file an image")
    parser.add_argument("--output", required=True, type=Path, help="what was done (JSON), written last")


def run(arguments: Namespace) -> None:
    """Write one share of the superpixels; those that are there already stay."""
    index = ScanIndex.load(arguments.index)
    files = SuperpixelFiles(arguments.folder, index.root, arguments.options)
    images = make_superpixels(index, files, arguments.part, arguments.parts)
    write_json(arguments.output, {"images": images, "options": arguments.options.model_dump(mode="json")})
