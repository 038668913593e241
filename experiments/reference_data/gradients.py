"""All-electron electric field gradient at every nucleus from a converged GPAW plane-wave calculation (PAW).

GPAW itself has no such function.

V_ij = +∂²V/∂x_i∂x_j of the electrostatic potential of the electrons and the other nuclei. Two parts: the lattice sum
of the compensated pseudo-density (reciprocal space) and, inside each augmentation sphere, the l = 2 part of the
difference between the all-electron and the pseudo density, less that of the compensation charge (Petrilli, Blöchl,
Blaha and Schwarz, Phys. Rev. B 57, 14690 (1998)).
"""

import numpy as np
from gpaw.hyperfine import Y2_m, Y2_mvv, expand
from gpaw.utilities import unpack2

HARTREE_PER_E_BOHR2_IN_V_PER_ANG2 = 97.173624424


def electric_field_gradients(calculator) -> np.ndarray:
    """Tensors of all atoms, (atoms, 3, 3) in Hartree/(e bohr²), from a converged calculator in plane-wave mode."""
    density, setups = calculator.density, calculator.wfs.setups
    waves, squares, coefficients = _pseudo_density(density)
    result = []
    for atom, position in enumerate(calculator.atoms.get_scaled_positions() @ density.finegd.cell_cv):
        phase = coefficients * np.exp(1j * waves @ position) / squares
        lattice = -np.einsum("gi,gj,g->ij", waves, waves, phase, optimize=True).real
        lattice -= np.eye(3) * np.trace(lattice) / 3
        onsite = Y2_mvv.T @ (_onsite(density, setups[atom], atom) * Y2_m)
        result.append(-4 * np.pi * (lattice + onsite))
    return np.array(result)


def _pseudo_density(density) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wave vectors, their squares, and Fourier coefficients of the compensated pseudo-density."""
    grid = density.finegd
    rho = density.pd3.ifft(density.rhot_q)
    points = np.array(rho.shape)
    coefficients = (np.fft.fftn(rho) / points.prod()).ravel()
    index = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in points], indexing="ij"), -1).reshape(-1, 3)
    waves = index @ (2 * np.pi * np.linalg.inv(grid.cell_cv)).T
    squares = (waves**2).sum(1)
    keep = (squares > 1e-10) & (np.abs(index) < points / 2 - 0.1).all(1)  # no G = 0, no Nyquist frequencies
    return waves[keep], squares[keep], coefficients[keep]


def _onsite(density, setup, atom: int) -> np.ndarray:
    """∫ Δρ_2m(r)/r³ dV/5 of one augmentation sphere, for the five m."""
    occupation = expand(unpack2(density.D_asp[atom]).sum(0), setup.l_j, 2)
    true, pseudo = np.array(setup.data.phi_jg), np.array(setup.data.phit_jg)
    difference = np.einsum("mab,ag,bg->mg", occupation, true, true)
    difference -= np.einsum("mab,ag,bg->mg", occupation, pseudo, pseudo)
    local = difference[:, 1:] @ (setup.rgd.dr_g[1:] / setup.rgd.r_g[1:]) / 5
    if setup.Delta_pL.shape[1] >= 9:  # the quadrupole that the compensation charge carries
        quadrupole = density.D_asp[atom].sum(0) @ setup.Delta_pL[:, 4:9]
        radius = setup.data.shape_function["rc"]
        # Of its shape g = exp(-r²/R²): ∫ g r dr / ∫ g r⁶ dr = (R²/2) / (15 √π R⁷/16).
        local = local - quadrupole * 8 / (15 * np.sqrt(np.pi) * radius**5) / 5
    return local
