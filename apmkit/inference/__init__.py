"""What any design can ask for: joint tests and uniform bands."""

from apmkit.inference.bands import uniform_band
from apmkit.inference.joint import joint_test

__all__ = ["joint_test", "uniform_band"]
