"""Converts segments one after the other as they are asked for, in the environment of ``make waymo-env``.

Each line on standard input is JSON: ``segment``, ``root``, ``output`` as `workflow/waymo/convert.py` takes them, and
``framed``: whether the segment is one frame, still to be made a TFRecord with checksums that fit. Each answer is a
line: ``code`` and ``said``. Importing TensorFlow for each of ten thousand segments would take a day.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "waymo"))

import convert
import tensorflow as tf

#: Bytes of addresses that reading a segment may take beside what the interpreter has after the first good one.
MOST_BYTES = 2**30


def answer(segment: str, root: str, output: str, framed: bool) -> dict[str, object]:
    if framed:
        content = Path(segment).read_bytes()
        with tf.io.TFRecordWriter(segment) as writer:
            writer.write(content)
    sys.argv = ["convert.py", "--segment", segment, "--root", root, "--split", "training", "--output", output]
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = convert.main()
    return {"code": code, "said": said.getvalue()}


def main() -> None:
    limited = False
    for line in sys.stdin:
        found = answer(**json.loads(line))
        print(json.dumps(found), flush=True)
        if not limited and found["code"] == 0:
            limited = True
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            size = pages * resource.getpagesize() + MOST_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    main()
