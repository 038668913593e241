"""Anderson mixing of density and atomic density matrices for cells in which charge moves easily between atoms.

GPAW's Pulay mixer makes the smooth density's residual small, all waves alike, and does not look at the atomic density
matrices at all; on rattled Li4Ti5O12 either the charge sloshes or the steps are so short that sixty are needed. Here

- small means: the Coulomb energy of the residual of the *whole* pseudo charge (smooth density and compensation
charges), plus a little
  of the density matrices;
- a step is 0.4 of the residual, but for the long waves of the whole charge down to 0.12: they are what sloshes.

(Anderson, J. ACM 12 (1965) 547; Kerker, Phys. Rev. B 23 (1981) 3082; residuals in the Coulomb metric as in Quantum
ESPRESSO.)
"""

from typing import NamedTuple

import numpy as np
from gpaw.mixer import BaseMixer

STEP = 0.4
LONG = 0.3  # step of the longest waves, relative to that
WAVE = 0.8  # wave vector, 1/bohr, about which the step changes
ONSITE = 0.01  # hartree: weight of the density matrices
HISTORY = 20
REGULARISATION = (
    1e-5  # of the overlaps of residuals scaled to 1, so that errors of unconverged orbitals are not extrapolated
)


class Past(NamedTuple):
    """What went in, and how far from it came out."""

    density: np.ndarray
    matrices: list[np.ndarray]
    residual: np.ndarray
    matrix_residuals: list[np.ndarray]
    charge: np.ndarray


class ChargeMixer(BaseMixer):
    """GPAW's `Mixer` (``backend``) for plane waves without spin; `watch` a density before the first step."""

    name = "charge"

    def initialize_metric(self, gd) -> None:
        self.gd, self.metric = gd, None

    def reset(self) -> None:
        self.nt_iG = []  # GPAW looks whether there is a past
        self.past, self.overlaps, self.input = [], np.zeros((0, 0)), None

    def watch(self, density) -> "ChargeMixer":
        self.of = density
        return self

    def mix_single_density(self, nt_G, D_ap):
        """Replace what came out by what goes in next; returns the number of electrons that moved."""
        moved = np.inf
        if self.input is not None:
            moved = self._remember(nt_G, D_ap)
            self._next(nt_G, D_ap, self._shares())
        self.input = nt_G.copy(), [matrix.copy() for matrix in D_ap]
        self.nt_iG = [self.input[0]]
        return moved

    def _remember(self, density, matrices) -> float:
        residual = density - self.input[0]
        differences = [new - old for new, old in zip(matrices, self.input[1], strict=True)]
        self.past.append(Past(*self.input, residual, differences, self._charge(residual, differences)))
        self.past = self.past[-self.nmaxold :]
        kept = len(self.past) - 1
        overlaps = np.zeros((kept + 1, kept + 1))
        overlaps[:kept, :kept] = self.overlaps[len(self.overlaps) - kept :, len(self.overlaps) - kept :]
        overlaps[-1] = overlaps[:, -1] = [self._overlap(one, self.past[-1]) for one in self.past]
        self.overlaps = overlaps
        return self.gd.integrate(np.fabs(residual))

    def _charge(self, residual, differences):
        """Plane waves of the whole pseudo charge."""
        moments = self.of.ghat.dict()
        for atom, difference in zip(self.of.D_asp, differences, strict=True):
            moments[atom][:] = difference @ self.of.setups[atom].Delta_pL
        charge = self.of.pd3.zeros()
        self.of.ghat.add(charge, moments)
        self.of.map23.add_to2(charge, self.of.pd2.fft(residual))
        return charge

    def _overlap(self, one: Past, other: Past) -> float:
        waves = self.of.pd3.G2_qG[0]
        coulomb = np.divide(4.0 * np.pi, waves, out=np.zeros_like(waves), where=waves > 1e-8)
        onsite = sum(float(np.vdot(a, b)) for a, b in zip(one.matrix_residuals, other.matrix_residuals, strict=True))
        return float(self.of.pd3.integrate(one.charge * coulomb, other.charge).real) + ONSITE * onsite

    def _shares(self) -> np.ndarray:
        """Of the past, with sum 1, that make the mixed residual smallest."""
        scale = np.sqrt(np.diag(self.overlaps))
        scaled = self.overlaps / np.outer(scale, scale) + REGULARISATION * np.eye(len(scale))
        shares = np.linalg.solve(scaled, 1.0 / scale) / scale
        return shares / shares.sum()

    def _next(self, density, matrices, shares) -> None:
        def mixed(field: str):
            return sum(share * getattr(past, field) for share, past in zip(shares, self.past, strict=True))

        waves = self.of.pd3.G2_qG[0]
        shorter = STEP * (waves + LONG * WAVE**2) / (waves + WAVE**2) - STEP
        correction = self.of.pd2.zeros()
        self.of.map23.add_to1(correction, shorter * mixed("charge"))
        density[:] = mixed("density") + STEP * mixed("residual") + self.of.pd2.ifft(correction)
        for number, matrix in enumerate(matrices):
            matrix[:] = sum(
                share * (past.matrices[number] + STEP * past.matrix_residuals[number])
                for share, past in zip(shares, self.past, strict=True)
            )


MIXER = {"method": "separate", "backend": ChargeMixer, "beta": STEP, "nmaxold": HISTORY, "weight": 1.0}
