"""The commands of `recon`, one dataclass each: its fields are its arguments, calling it runs it."""

from studio.commands.assets import Assets as Assets
from studio.commands.base import Command as Command
from studio.commands.bench import Bench as Bench
from studio.commands.check import Check as Check
from studio.commands.run import Demo as Demo
from studio.commands.run import Fit as Fit
from studio.commands.run import Run as Run
from studio.commands.stages import Control as Control
from studio.commands.stages import Evaluate as Evaluate
from studio.commands.stages import Export as Export
from studio.commands.stages import Generate as Generate
from studio.commands.stages import Render as Render
from studio.commands.stages import Report as Report
from studio.commands.stages import Sweep as Sweep
from studio.commands.upkeep import Doctor as Doctor
from studio.commands.upkeep import Inspect as Inspect

COMMANDS: tuple[type[Command | Assets], ...] = (
    Run, Check, Fit, Sweep, Render, Control, Generate, Evaluate, Export, Report, Inspect, Bench, Assets, Doctor, Demo,
)  # fmt: skip

RESUMING: tuple[type[Command], ...] = (Run, Fit, Demo, Render, Control, Generate)
"""Commands that keep complete stages and frames when they are interrupted."""
