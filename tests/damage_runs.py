"""What runs read and write, damaged in named ways: weights, config, results, and what pre-training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from damage_commands import (
    collect,
    draw_course,
    export_weights,
    finetune,
    gains,
    import_weights,
    plan,
    pretrain,
    published,
    step_times,
    subset,
    tables,
)
from damage_tools import (
    DEEP,
    Change,
    Command,
    Damage,
    Trap,
    becomes,
    cut,
    gone,
    header_of_index,
    in_itself,
    instead,
    layers_of_references,
    npy,
    on,
    packed,
    pickled_array,
    png,
    record_of_index,
    safetensors,
    swapped,
    torch_file,
    turned,
)
from damage_yard import SWEEP


def weights() -> list[Damage]:
    own, pt = "backbone.safetensors", "published.pt"
    exporting, importing = export_weights(own), import_weights(pt)
    huge = {"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}
    listed = {"__metadata__": {"cmcr": "[1]"}}
    expanded = {"model_points": {"conv0p1s1.kernel": torch.ones(1).expand(10**6, 10**4)}}
    rows: list[tuple[str, str, Change, Command, str, bool]] = [
        ("missing", own, gone(own), exporting, "no such weight file", False),
        ("cut short", own, cut(own), exporting, "damaged or truncated", False),
        ("a text", own, becomes(own, "<!DOCTYPE html>"), exporting, "damaged or truncated", False),
        ("header longer than the file", own, becomes(own, safetensors({}, 2**62)), exporting, "damaged", False),
        ("header that claims four gigabytes", own, becomes(own, safetensors(huge)), exporting, "damaged", True),
        ("header nested without end", own, becomes(own, safetensors(DEEP.encode())), exporting, "damaged", False),
        ("record no mapping", own, becomes(own, safetensors(listed)), exporting, "no mapping", False),
        ("weights without a record", "other.safetensors", lambda _: None, export_weights("other.safetensors"),
         "no such record", False),
        ("of another kind of network", "other.safetensors", lambda _: None, import_weights("other.safetensors"),
         "expected: a MinkUNet", False),
        ("published weights cut short", pt, cut(pt), importing, "damaged or truncated", False),
        ("published weights in which a bit was turned", pt, turned(pt), importing, "its own checksum", False),
        ("published weights with code", pt, becomes(pt, torch_file({"a": torch.ones(1), "b": Trap("sprung")})),
         importing, "refused", False),
        ("published weights in themselves", pt, becomes(pt, torch_file(in_itself())), importing, "nested", False),
        ("one number shown ten thousand million times", pt, becomes(pt, torch_file(expanded)), importing,
         "not stored number by number", True),
        ("published weights that unpack to a gigabyte", pt, on(pt, packed), importing, "would unpack to", True),
        ("published weights of nothing", pt, becomes(pt, torch_file({})), importing, "no tensor at all", False),
        ("published weights a list", pt, becomes(pt, torch_file([1.0])), importing, "names with tensors", False),
        ("published weights empty", pt, becomes(pt, b""), importing, "damaged", False),
    ]  # fmt: skip
    return [Damage("weights", *row[:5], claims_memory=row[5]) for row in rows]


def config() -> list[Damage]:
    file = "config.yaml"
    rows: list[tuple[str, Change, str]] = [
        ("missing", gone(file), "No such file"),
        ("no YAML", becomes(file, "a: [1,"), "expected"),
        ("not in UTF-8", becomes(file, b"run_name: \xff"), "utf-8"),
        ("a list", becomes(file, "- a\n"), "found:    list"),
        ("empty", becomes(file, ""), "keys and values"),
        ("a tag that would run code", swapped(file, "smoke", "!!python/object/apply:os.mknod [sprung]"), "python/obj"),
        ("a key twice", on(file, lambda b: b + b"\nseeds: [1]\n"), "twice"),
        ("a mistyped key", swapped(file, "seeds:", "seed:"), "did you mean 'seeds'"),
        ("a name that climbs", swapped(file, "run_name: smoke", "run_name: ../../x"), "run_name"),
        ("an infinite rate", swapped(file, "lr: 2.0e-3", "lr: .inf"), "finite"),
        ("a seed beyond what generators take", swapped(file, "seeds: [0]", "seeds: [99999999999]"), "less than"),
        ("validation split that is trained on", swapped(file, "validation: mini_val", "validation: mini_train"),
         "not scored on what it learned from"),
        ("nested without end", becomes(file, "a: " + DEEP), "nested too deeply"),
        ("a date that is none", swapped(file, "smoke", "2026-99-99"), "month"),
        ("half a character", swapped(file, "run_name: smoke", 'run_name: "a\\ud800"'), "half a character"),
        ("an integer that is none", swapped(file, "smoke", '!!int ""'), "expected"),
    ]  # fmt: skip
    damages = [Damage("config", name, file, change, plan, reason) for name, change, reason in rows]
    bomb = on(file, lambda content: content + layers_of_references("more").encode())
    times = "step_times.tsv"
    return [
        *damages,
        Damage("config", "references that stand for billions of values", file, bomb, plan, "100000 values", True),
        Damage("config", "times of steps no numbers", times, swapped(times, "0.5", "fast"), step_times, "positive"),
        Damage("config", "times of steps missing", times, gone(times), step_times, "No such file"),
    ]


def results() -> list[Damage]:
    scores, table, frames, course = "scores.json", "scores.tsv", "frames.safetensors", "metrics.csv"
    damages: list[Damage] = []

    def add(file: str, command: Command, name: str, change: Change, reason: str) -> None:
        damages.append(Damage("results", name, file, change, command, reason))

    add(scores, collect, "scores missing", gone(scores), "no such scores file")
    add(scores, collect, "scores cut short", cut(scores), "not a JSON file")
    add(scores, collect, "scores edited", swapped(scores, "20.0", "80.0"), "edited after the run")
    add(
        scores,
        collect,
        "scores of another schema version",
        swapped(scores, '_version": 1', '_version": 2'),
        "found:    2",
    )
    add(scores, collect, "scores with NaN", swapped(scores, "20.0", "NaN"), "NaN is not a score")
    add(scores, collect, "scores a list", becomes(scores, "[]"), "JSON object")
    add(scores, collect, "scores a folder", instead(scores, Path.mkdir), "directory")
    add(scores, collect, "scores nested without end", becomes(scores, DEEP), "not a JSON file")
    add(scores, collect, "scores of an unknown task", swapped(scores, '"segmentation"', '"seggmentation"'), "task")
    add(table, tables, "table of scores missing", gone(table), "no such table")
    add(table, tables, "table with a value that is none", swapped(table, "20.0", "twenty"), "damaged table")
    add(table, tables, "table with an infinite value", swapped(table, "20.0", "inf"), "is none")
    add(table, tables, "table without a column", swapped(table, "value", "worth"), "no value")
    add(table, tables, "table with a number twice", on(table, lambda b: b + b.splitlines(True)[1]), "repeats a")
    add(
        table, tables, "table with neither value nor reason", swapped(table, "20.0", ""), "neither a value nor a reason"
    )
    add(table, tables, "table not in UTF-8", on(table, lambda b: b + b"\xff"), "utf-8")
    add(frames, gains, "statistics cut short", cut(frames), "damaged or truncated")
    add(frames, gains, "statistics of no run", becomes(frames, safetensors({})), "no record of their run")
    add(frames, gains, "statistics with a number changed", on(frames, lambda b: b[:-8] + b"\xff" * 8), "own checksum")
    add(course, draw_course, "course missing", gone(course), "no such file")
    add(course, draw_course, "course with a line cut short", cut(course, 0.9), "fields|finite|rise")
    add(course, draw_course, "course with steps that fall", swapped(course, "2,0,", "0,0,"), "rise")
    add(course, draw_course, "course with a loss of NaN", swapped(course, "2.25", "nan"), "finite loss")
    add("published.csv", published, "published numbers with a text", on("published.csv", _spoil), "finite number")
    add("splits.csv", published, "published splits cut short", cut("splits.csv", 0.1), "columns|fields")
    add("names.csv", published, "published names not in UTF-8", becomes("names.csv", b"\xff"), "UTF-8")
    return damages


def _spoil(content: bytes) -> bytes:
    """Make the value of the first published number a text."""
    header, first, rest = content.split(b"\n", 2)
    fields = first.split(b",")
    fields[header.split(b",").index(b"value")] = b"high"
    return b"\n".join([header, b",".join(fields), rest])


def pre_training() -> list[Damage]:
    listed, chosen, bank = "index.jsonl", "subset.txt", "features.npy"
    ppkt, slidr = pretrain("ppkt", num_pairs=64, channels=8), pretrain("slidr", channels=8)
    regions = "superpixels/image.png"
    damages: list[Damage] = []

    def add(file: str, command: Command, name: str, change: Change, reason: str, **rest: Any) -> None:
        damages.append(Damage("pre-training", name, file, change, command, reason, **rest))

    add(listed, subset, "index missing", gone(listed), "No such file")
    add(listed, subset, "index cut short", cut(listed), "cut short")
    add(listed, subset, "index a text", becomes(listed, "scans\n"), "no JSON header")
    add(listed, subset, "index nested without end", becomes(listed, DEEP), "no JSON header")
    add(listed, subset, "index with another scan", swapped(listed, SWEEP, "other.bin"), "damaged or edited")
    add(listed, subset, "index with a class renamed", swapped(listed, '"car"', '"bus"'), "header was damaged")
    add(listed, subset, "index of another version", swapped(listed, '_version": 2', '_version": 1'), "version 1")
    add(
        listed, subset, "index that asks for a reader that is none", on(listed, header_of_index(reader="os")), "readers"
    )
    add(
        listed, subset, "index with a split that climbs", on(listed, header_of_index(split="../../x")), "printable|root"
    )
    add(listed, subset, "index with a token that climbs", on(listed, record_of_index(token="../../x")), "leads out")
    add(listed, subset, "index with a file that climbs", on(listed, record_of_index(lidar="../../x")), "leads out")
    add(listed, subset, "index with a field that is none", on(listed, record_of_index(radar=1)), "radar")
    add(chosen, finetune, "subset missing", gone(chosen), "No such file")
    add(chosen, finetune, "subset cut short", on(chosen, lambda b: b[:-10]), "damaged or edited")
    add(
        chosen, finetune, "subset with a share that is none", swapped(chosen, "percent: 50.0", "percent: nan"), "header"
    )
    add(chosen, finetune, "subset with another rule", swapped(chosen, "rule: scan", "rule: scene"), "damaged or edited")
    add(chosen, finetune, "subset of another version", swapped(chosen, "version 1", "version 2"), "version 1")
    add(chosen, finetune, "subset of another index", _of_another_index, "another index")
    add(bank, ppkt, "features missing", gone(bank), "No such file")
    add(bank, ppkt, "features cut short", cut(bank), "header tells of")
    add(bank, ppkt, "features that claim a terabyte", becomes(bank, npy((2, 6, 4, 10**6, 10**5))), "header tells of",
        claims_memory=True)  # fmt: skip
    add(bank, ppkt, "features pickled", becomes(bank, pickled_array()), "only numbers")
    add(bank, ppkt, "features of other numbers", becomes(bank, npy((2, 6), "<f4", bytes(48))), "float16")
    add(bank, ppkt, "features of another index", becomes(bank, npy((3, 6, 1, 1, 1), content=bytes(36))), "2 scans")
    add(regions, slidr, "superpixels missing", gone(regions), "No such file")
    add(regions, slidr, "superpixels cut short", cut(regions), "runcated|broken|image file")
    add(regions, slidr, "superpixels a text", becomes(regions, "regions"), "no JPEG or PNG, or a damaged header")
    add(regions, slidr, "superpixels of another image", becomes(regions, png(80, 48, bytes(81 * 48))), "made from")
    add(regions, slidr, "superpixels that claim ten gigapixels", becomes(regions, png(10**5, 10**5)), "pixels",
        claims_memory=True)  # fmt: skip
    return damages


def _of_another_index(folder: Path) -> None:
    """A subset that is whole, but was chosen from other scans."""
    from dataclasses import replace

    from cmcr.data.subsets import Subset

    other = replace(Subset.load(folder / "subset.txt"), index_checksum="0" * 64)
    (folder / "subset.txt").unlink()
    other.save(folder / "subset.txt")
