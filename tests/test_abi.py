"""What Python repeats of the C interface: offsets, constants and calls are those of csrc/abi.h and the kernels."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from voge.rendering import arguments, drivers, native
from voge.rendering.settings import Aggregation

CSRC = Path(__file__).resolve().parents[1] / "csrc"
HEADER = re.sub(r"//.*", "", (CSRC / "abi.h").read_text())
STRUCTS = {"voge_scene": native.Scene, "voge_cuda_sums": native.CudaSums}
CONSTANTS = {
    "VOGE_ABI_VERSION": native.ABI_VERSION,
    "VOGE_OK": 0,
    "VOGE_OUT_OF_MEMORY": native.OUT_OF_MEMORY,
    "VOGE_EXACT": arguments.AGGREGATIONS[Aggregation.exact],
    "VOGE_PAPER": arguments.AGGREGATIONS[Aggregation.paper],
    "VOGE_SORTED": arguments.AGGREGATIONS[Aggregation.sorted],
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, int]:
    """What the C compiler makes of the header."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    shown = {name: name for name in CONSTANTS}
    for struct, mirror in STRUCTS.items():
        shown[struct] = f"sizeof({struct})"
        shown |= {f"{struct}.{name}": f"offsetof({struct}, {name})" for name in fields(mirror)}
    prints = "\n".join(f'printf("{name} %lld\\n", (long long)({value}));' for name, value in shown.items())
    folder = tmp_path_factory.mktemp("abi")
    source = folder / "abi.c"
    includes = '#include <stddef.h>\n#include <stdio.h>\n#include "abi.h"\n'
    source.write_text(f"{includes}int main(void) {{\n{prints}\nreturn 0;\n}}\n")
    subprocess.run([compiler, "-I", CSRC, "-o", folder / "abi", source], check=True)
    lines = subprocess.run([folder / "abi"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def fields(mirror: type[ctypes.Structure]) -> list[str]:
    return [str(field[0]) for field in mirror._fields_]


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_field_lies_where_the_header_has_it(compiled, struct):
    mirror = STRUCTS[struct]
    assert compiled[struct] == ctypes.sizeof(mirror)
    for name in fields(mirror):
        assert compiled[f"{struct}.{name}"] == getattr(mirror, name).offset, name


@pytest.mark.parametrize("struct", STRUCTS)
def test_no_field_is_left_out(struct):
    (body,) = re.findall(rf"typedef struct {struct} {{(.*?)}}", HEADER, re.DOTALL)
    declared = [name for line in body.split(";") for name in re.findall(r"(\w+)\s*(?:,|$)", line.strip())]
    assert declared == fields(STRUCTS[struct])


def test_constants_are_those_of_the_header(compiled):
    assert {name: compiled[name] for name in CONSTANTS} == CONSTANTS


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("rays", "int kRow", drivers.PACKED),
        ("gradient", "int kSums", drivers.SUMS),
        ("launch", "int32_t kCudaErrors", native.CUDA_ERRORS),
    ],
)
def test_constants_are_those_of_the_kernels(file, name, value):
    (found,) = re.findall(rf"constexpr {name} = (\d+);", (CSRC / "cuda" / f"{file}.cuh").read_text())
    assert int(found) == value


def test_calls_have_the_arguments_and_results_of_the_header():
    calls = re.findall(r"VOGE_API (\w[\w ]*\*?)\s*(voge_\w+)\(([^)]*)\);", HEADER)
    declared = {name: letters(given) for _, name, given in calls}
    assert declared.pop("voge_abi_version") == ""  # called before anything is known of a library
    assert declared == native.CPU_CALLS | native.CUDA_CALLS
    results = {"const char*": ctypes.c_char_p, "int64_t": ctypes.c_int64, "int32_t": ctypes.c_int32}
    for result, name, _ in calls:
        assert result.strip() == "void" or native.RESULTS.get(name, ctypes.c_int32) == results[result.strip()], name


def letters(given: str) -> str:
    """The letters of native.ARGUMENTS."""
    kinds = [
        (r"const voge_(scene|cuda_sums)\*", "s"), (r".*\*|voge_parallel_for", "p"), ("int32_t", "i"), ("int64_t", "l"),
    ]  # fmt: skip
    names = [argument.strip() for argument in given.split(",") if argument.strip() != "void"]
    return "".join(next(letter for pattern, letter in kinds if re.match(pattern, name)) for name in names)
