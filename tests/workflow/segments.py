"""Waymo segments of the toy city, packed and converted in the environment of the official package."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path

from cmcr.data.toy.city import ToyCityOptions, write_scene

ROOT = Path(__file__).resolve().parents[2]
SCENE = "scene-0916"


def run(python: str, *arguments: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a script in the environment of `make waymo-env`."""
    done = subprocess.run([python, *map(str, arguments)], capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stderr
    return done


def pack_segment(python: str, options: ToyCityOptions, folder: Path) -> Path:
    """Make a TFRecord of a drive; what it is made of stays beside it in ``folder``."""
    part = folder / "parts" / f"{SCENE}.json"
    write_scene(options, SCENE, folder, part, "waymo")
    output = folder / "tfrecords" / "validation" / "segment-toy.tfrecord"
    run(python, ROOT / "workflow/waymo/pack.py", "--drive", part, "--root", folder, "--output", output)
    return output


class Converter:
    """`workflow/waymo/convert.py` in a process that stays: importing TensorFlow takes seconds.

    After a thousand segments it is another process: of each, TensorFlow keeps some 90 kB.
    """

    _EACH = 1000

    def __init__(self, python: str, folder: Path) -> None:
        """Start it; ``folder`` is where it says what it dies of."""
        self.python, self.words = python, folder / "stderr.txt"
        self._start()

    def _start(self) -> None:
        self.segments = 0
        with self.words.open("wb") as words:
            self.process = subprocess.Popen(
                [self.python, str(Path(__file__).with_name("waymo_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )
        # Who asks may be held to less memory than TensorFlow takes.
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (most, most))

    def convert(self, segment: Path, root: Path, *, framed: bool = False) -> tuple[int, str]:
        """Convert a segment of split ``training``; return the exit code and what was said on standard error.

        Args:
            segment: a TFRecord.
            root: folder of the converted data set.
            framed: the segment is one frame alone, which is made a TFRecord first, with checksums that fit.
        """
        if self.segments == self._EACH:
            self.close()
            self._start()
        self.segments += 1
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        paths = {"segment": segment, "root": root, "output": root / "training" / "segment.json"}
        asked = {name: str(path) for name, path in paths.items()} | {"framed": framed}
        try:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            assert line, f"it died, {self.process.wait()}: {self.words.read_text(errors='replace')[-2000:]}"
        except BaseException:  # where it hangs, its answer would be taken for that to the next question
            self.close()
            self._start()
            raise
        answer = json.loads(line)
        return answer["code"], answer["said"]

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
