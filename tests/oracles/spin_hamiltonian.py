"""Powder spectra by exact diagonalisation of the spin Hamiltonian, in numpy and with nothing of the library but
nuclear data.
"""

import numpy as np

ELEMENTARY_CHARGE, PLANCK = 1.602176634e-19, 6.62607015e-34


def spin_operators(spin):
    """I_x, I_y, I_z in the basis m = I ... −I."""
    m = np.arange(spin, -spin - 1, -1)
    raising = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return np.array([(raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m)])


def directions(count):
    """Even on the half sphere."""
    height = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)


def frequencies(efg, shift, fields, nucleus, tesla):
    """All single-quantum frequencies (n, 2I), from m = I → I−1 on, in Hz from the Larmor frequency on the axis of the
    shift.

    H = −ν_L I_z + eQ/(2I(2I−1)h) I·V·I − ν_L I·δ·b with b the field's direction, whole and in its own
    eigenbasis: the shift's components across the field too,
    but for its effect of second order on its own, which both sides leave out by taking δ small.
    """
    spin = nucleus.spin
    operators = spin_operators(spin)
    larmor = nucleus.gyromagnetic_ratio * tesla / (2 * np.pi)
    start = np.where(np.abs(fields[:, :1]) < 0.7, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    x = np.cross(start, fields)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    frames = np.stack([x, np.cross(fields, x), fields], axis=1)  # rows are the laboratory's axes
    v = frames @ efg @ frames.swapaxes(1, 2) * 1e20  # V/m²
    delta = frames @ shift @ frames.swapaxes(1, 2) * 1e-6
    hamiltonian = np.broadcast_to(-larmor * operators[2], (len(fields), *operators[2].shape)).astype(complex)
    if nucleus.quadrupole_moment is not None:
        strength = ELEMENTARY_CHARGE * nucleus.quadrupole_moment * 1e-31 / (2 * spin * (2 * spin - 1) * PLANCK)
        products = np.einsum("iab,jbc->ijac", operators, operators)
        hamiltonian = hamiltonian + strength * np.einsum("nij,ijac->nac", v, products)
    hamiltonian = hamiltonian - larmor * np.einsum("ni,iac->nac", delta[:, :, 2], operators)
    energies = np.linalg.eigvalsh(hamiltonian)  # ascending: m = I first where γ > 0, last where γ < 0
    if larmor < 0:
        energies = energies[:, ::-1]
    return np.sign(larmor) * (np.diff(energies, axis=1) - larmor)


def spinning_frequencies(efg, shift, rotors, nucleus, tesla, phases=12):
    """The same, averaged over a turn of the rotor at the magic angle."""
    start = np.where(np.abs(rotors[:, :1]) < 0.7, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    x = np.cross(start, rotors)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cross(rotors, x)
    total = 0.0
    for phase in 2 * np.pi * np.arange(phases) / phases:
        field = (rotors + np.sqrt(2) * (np.cos(phase) * x + np.sin(phase) * y)) / np.sqrt(3)
        total = total + frequencies(efg, shift, field, nucleus, tesla)
    return total / phases


def histogram(values, axis, weights=None):
    """Intensity per Hz of a sample of frequencies on an even axis of bin centres; integrates to 1."""
    step = axis[1] - axis[0]
    edges = np.append(axis, axis[-1] + step) - step / 2
    return (
        np.histogram(values, edges, weights=weights)[0] / step / (np.size(values) if weights is None else weights.sum())
    )


def gaussian(curves, axis, fwhm):
    """Convolution with a Gaussian, point by point."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    step = axis[1] - axis[0]
    kernel = np.exp(-((axis[:, None] - axis[None, :]) ** 2) / (2 * sigma**2)) * step / (sigma * np.sqrt(2 * np.pi))
    return curves @ kernel
