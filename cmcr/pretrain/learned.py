"""What a method learned besides the backbone, as a file: its heads and codebook, and their options."""

from __future__ import annotations

import json
from pathlib import Path

from cmcr.checkpoints import described, load_strictly, read_metadata, read_tensors, save_tensors
from cmcr.errors import WeightsError
from cmcr.pretrain.method import Channels, PretrainMethod
from cmcr.reading import parse_json

#: The file's name; it lies beside the backbone.
METHOD_FILE = "method.safetensors"


def save_method(path: Path, method: PretrainMethod) -> None:
    """Write a method's own weights and what is needed to build it again, as safetensors, atomically."""
    record = {
        "plugin": method.id,
        "options": method.options.model_dump_json(),
        "channels": json.dumps(method.channels._asdict()),
    }
    save_tensors(path, method.state_dict(), record)


def load_method(path: Path, method_class: type[PretrainMethod]) -> PretrainMethod:
    """Build the method that `save_method` wrote, in evaluation mode.

    Raises:
        WeightsError: the file is missing, damaged, of another plug-in or of another version of it.
    """
    record = read_metadata(path)
    try:
        if record["plugin"] != method_class.id:
            raise WeightsError(f"{path}\n  expected: weights of {method_class.id}\n  found:    of {record['plugin']}")
        options = method_class.Options.model_validate_json(record["options"])
        channels = Channels(**parse_json(record["channels"]))
    except (KeyError, TypeError, ValueError):
        raise WeightsError(
            f"{path}\n  expected: weights of {method_class.id} with a record of its options, as `cmcr pretrain` writes "
            "them\n  found:    no such record, or one of another version\n  way out:  pre-train again"
        ) from None
    tensors = read_tensors(path)
    with described(path, tensors):  # not without memory first: a plug-in may look at its numbers
        method = method_class(options, channels)
    load_strictly(method, tensors, path)
    return method.eval()
