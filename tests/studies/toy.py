"""A small study: the mean of a few numbers. Its notebook is in the folder `toy_notebooks`."""

import os
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study

VALUES = {"cost": (3.0, 5.0, 7.0), "visits": (1.0, 2.0, 6.0)}

UNITS = {"cost": "dollars", "visits": "visits"}


class ToyParameters(Parameters):
    outcome: Literal["cost", "visits"] = Field("cost", description="Outcome.")
    first: int = Field(1, ge=1, le=3, description="First of the numbers to use.")
    scale: float = Field(1.0, ge=0.5, le=2, description="Factor.")
    level: Literal[90, 95] = Field(95, description="Confidence level, percent.")
    log: bool = Field(False, description="Take logarithms.")
    leave_out: tuple[Literal["on", "qc"], ...] = Field((), description="Provinces to leave out.")
    trouble: Literal["none", "error", "exit", "silent", "other"] = Field("none", description="What goes wrong.")

    @model_validator(mode="after")
    def _log_needs_costs(self):
        if self.log and self.outcome == "visits":
            raise ValueError("log=true needs outcome=cost.")
        return self


def estimate(parameters: ToyParameters) -> Result:
    if parameters.trouble == "error":
        raise RuntimeError("the numbers ran out.")
    if parameters.trouble == "exit":
        os._exit(3)
    values = parameters.scale * np.array(VALUES[parameters.outcome][parameters.first - 1 :])
    if len(values) == 1:
        warnings.warn("One number only.", stacklevel=2)
    mean = Estimate.from_covariance(
        pd.DataFrame({"term": ["mean"]}),
        np.array([np.log(values).mean() if parameters.log else values.mean()]),
        np.array([[values.var() / len(values)]]),
        level=parameters.level / 100,
        estimand="mean",
        estimator="average",
        outcome=parameters.outcome,
        n_obs=len(values),
        n_units=len(values),
        n_clusters=len(values),
    )
    axis = f"Mean of {'log ' if parameters.log else ''}{parameters.outcome}, {UNITS[parameters.outcome]}"
    return Result({"mean": mean, "again": mean}, "mean", (mean.sentence(),), ("Invented numbers.",), axis)


STUDY = Study("us/toy", "What is the mean?", "United States", (), ToyParameters, estimate)
NOTEBOOKS = Path(__file__).parent / "toy_notebooks"
