"""How far loads came out above their forecasts: shares of residuals in bins, older ones forgotten, and their quantiles.

A quantile is asked for by its surprise, the negative logarithm of the share that may be above it: 4.6 is 1 %. Residuals
are logarithms in units of how unsure the forecast was. Before anything is known they are taken for exponential.
"""

from __future__ import annotations

import math

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.forecast import TICK_S, Row

BINS = 128
SURPRISES = 11
_WIDTH, _LOWEST, _ZERO = 0.02, -0.5, 25
# A tenth is the mean of what is taken for true beforehand, and that weighs as much as two hours.
_MEAN, _PRIOR = 0.1, 7200 / TICK_S
_FORGET = 1 - TICK_S / (4 * 86_400)


@compiled
def begin(shares: Row) -> None:
    """Fill the bins with what is taken for true beforehand."""
    for index in range(BINS):
        above = math.exp(-(index - _ZERO) * _WIDTH / _MEAN)
        shares[index] = _PRIOR * above * (1 - math.exp(-_WIDTH / _MEAN)) if index >= _ZERO else 0.0


@compiled
def remember(shares: Row, residual: float) -> None:
    """Count one more residual, and forget a little of all before."""
    place = min(BINS - 1, max(0, int((residual - _LOWEST) / _WIDTH)))
    for index in range(BINS):
        shares[index] *= _FORGET
    shares[place] += 1.0


@compiled
def quantiles(shares: Row, unsure: float, into: Row, offset: int) -> None:
    """Write the quantiles of surprise 0, 1, 2 ... times how unsure a forecast is; the first is the median."""
    total = 0.0
    for index in range(BINS):
        total += shares[index]
    above, index = 0.0, BINS
    for back in range(SURPRISES):
        surprise = SURPRISES - 1 - back
        allowed = total * min(0.5, math.exp(-surprise))
        while index > 0 and above + shares[index - 1] <= allowed:
            index -= 1
            above += shares[index]
        part = (allowed - above) / shares[index - 1] if index > 0 else 0.0
        into[offset + surprise] = unsure * (_LOWEST + (index - part) * _WIDTH)


@compiled
def at_surprise(row: Row, offset: int, surprise: float) -> float:
    """Return the quantile of a surprise between those that were written; outside, along the two at that end."""
    low = min(SURPRISES - 2, max(0, int(surprise)))
    return float(row[offset + low] + (surprise - low) * (row[offset + low + 1] - row[offset + low]))
