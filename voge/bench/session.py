"""All that `voge bench` measures in one call, and its results as a file.

results = voge.bench.run(BenchSettings(scenes=["cube:13@128"], peers=["none"]))
results.rows  # docs/bench.md lists the fields
results.save("results.json")
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from voge.bench import contenders
from voge.bench.cases import Case, Maker, cases
from voge.bench.contenders import Contender, Own, peer_of
from voge.bench.measure import Effort, Row, measure
from voge.bench.settings import BenchSettings, Peer
from voge.errors import BackendError, DataError
from voge.io.files import atomic_file
from voge.rendering import ops
from voge.rendering.devices import choose_device
from voge.rendering.installation import package_version
from voge.rendering.settings import Backend

Track = Callable[[Iterable[Case], int, str], Iterable[Case]]  # scenes, how many, and their name


@dataclass(frozen=True, eq=False)
class Results:
    """Figures of renderers on scenes, and the machine that they were measured on."""

    machine: dict[str, Any]  # what figures depend on besides the code
    rows: list[Row]  # one for each renderer on each scene
    notes: tuple[str, ...] = ()  # what the user should know of the scenes' files, a line each

    @property
    def title(self) -> str:
        """The devices that rendered, torch, and the day."""
        used = {row["device"] for row in self.rows}
        names = [name for device, name in self.machine["devices"].items() if device in used]
        return f"{', '.join(names)}; torch {self.machine['versions']['torch']}; {self.machine['date'][:10]}"

    def document(self) -> dict[str, Any]:
        """All figures as plain numbers and texts."""
        return {"machine": self.machine, "rows": self.rows}

    def save(self, path: str | Path) -> None:
        """Write the document as JSON."""
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(self.document(), indent=1, allow_nan=False) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Plan:
    """Scenes, and the renderers that will be measured on them."""

    settings: BenchSettings
    cases: list[Case]
    own: list[Own]  # backends of this package
    peers: list[Contender]
    notes: tuple[str, ...]  # where each backend renders, a line each

    def run(self, track: Track | None = None) -> Results:
        """Measure all renderers on all scenes.

        Args:
            track: passes the scenes on, and shows how far they are.

        Raises:
            BackendError: no scene could be measured.
            DataError: a file cannot be used.
        """
        effort = Effort(self.settings.repeat, self.settings.seconds, self.settings.memory)
        maker, rows = Maker(self.settings), []
        for case in self.cases if track is None else track(self.cases, len(self.cases), "scenes"):
            rows += measure(maker.scene(case), [*self.own, *self.peers], effort)
        failed = [row["error"] for row in rows if row["peer"] is None]
        if all(failed):
            raise BackendError(f"no scene could be measured: {failed[0]}")
        return Results(_machine(self.own), rows, tuple(maker.notes))


def run(settings: BenchSettings | None = None, *, device: str = "auto", track: Track | None = None) -> Results:
    """Measure images per second, kernel time, memory and hits, as `voge bench` does.

    Args:
        settings: scenes, renderers, and how long each is measured.
        device: auto, cpu, cuda or cuda:i.
        track: passes the scenes on, and shows how far they are.

    Raises:
        SettingsError: a scene is neither a cube nor a file.
        BackendError: a backend or a peer that was named is not there, or no scene could be measured.
        DataError: a file cannot be used.
    """
    return plan(settings, device=device).run(track)


def plan(settings: BenchSettings | None = None, *, device: str = "auto") -> Plan:
    """Find what is rendered and who is there to render it, before anything is measured. See `run`."""
    settings = settings or BenchSettings()
    wanted = cases(settings)
    chosen = [choose_device(device, Backend(name)) for name in backends(settings, device)]
    aggregations = settings.aggregations or [settings.settings.aggregation]
    made = [
        Own(replace(settings.settings, aggregation=aggregation, backend=one.backend), one.device)
        for one in chosen
        for aggregation in aggregations
    ]
    own = list(dict.fromkeys(made))
    first = own[: len(aggregations)]
    beside: list[Contender] = []
    for peer in peers(settings, own[0].device):
        beside += [peer_of(peer, one) for one in (first if peer is Peer.torch else first[:1])]
    return Plan(settings, wanted, own, beside, tuple(dict.fromkeys(map(str, chosen))))


def backends(settings: BenchSettings, device: str) -> list[str]:
    """Names of the backends that render; `all` are those that are there and run on the device."""
    names = settings.backends or [settings.settings.backend.value]
    if "all" not in names:
        return names
    elsewhere = {"cpu": "cuda", "cuda": "cpp"}.get(device.partition(":")[0])
    return [name for name, state in ops.status().items() if state.available and name != elsewhere]


def peers(settings: BenchSettings, device: torch.device) -> list[Peer]:
    """Find the peers to compare with on a device; a missing peer that `auto` means gets a row with the reason.

    Raises:
        BackendError: a peer that was named is not there.
    """
    named = [Peer(name) for name in dict.fromkeys(settings.peers) if name not in ("auto", "none")]
    on_gpu = device.type == "cuda"
    if any(peer is not Peer.torch for peer in named):
        if reason := contenders.missing_gsplat():
            raise BackendError(f"--peer: {reason}")
        if not on_gpu:
            raise BackendError(f"--peer: gsplat renders on CUDA devices only, and this run is on {device}")
    if "none" in settings.peers:
        return []
    if "auto" not in settings.peers or not on_gpu:
        return named
    return list(dict.fromkeys([*named, Peer.gsplat, Peer.gsplat_ut]))


def load_results(files: Sequence[str | Path]) -> Results:
    """Read results that were saved, as one; the machine is the first's.

    Raises:
        DataError: a file holds no results.
    """
    loaded = [_load(file) for file in files]
    return Results(loaded[0].machine, [row for each in loaded for row in each.rows])


def _load(file: str | Path) -> Results:
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
        results = Results(document["machine"], document["rows"])
        for row in results.rows:
            _ = row["name"], row["scene"], row["device"], row["error"] or row["both"]["wall_ms"]["median"]
        _ = results.title
    except FileNotFoundError:
        raise DataError(file, "no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"is no result of voge bench ({type(error).__name__}: {error})"
        raise DataError(file, problem, "write one with voge bench -o FILE.json") from error
    return results


def _machine(own: Sequence[Own]) -> dict[str, Any]:
    """Facts that figures depend on besides the code."""
    gpus = {str(c.device): torch.cuda.get_device_name(c.device) for c in own if c.device.type == "cuda"}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "devices": {"cpu": f"{platform.machine()}, {torch.get_num_threads()} threads", **gpus},
        "backends": {name: state.reason for name, state in ops.status().items() if state.available},
        "versions": {"voge": package_version("voge"), "python": platform.python_version(), "torch": torch.__version__},
        "cuda": torch.version.cuda,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
