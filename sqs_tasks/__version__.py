"""The version, alone so that builds and imports read it without anything else."""

__version__ = "0.1.0"
