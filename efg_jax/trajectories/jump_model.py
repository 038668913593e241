"""Spin-alignment echoes of ions that hop between sites with given rates: exact, pure, differentiable.

The ion is a Markov process, dp/dt = p Q, and the two-time average of a function s of the site is Σ_ij p_i s_i
[exp(Q t)]_ij s_j (R. Böhmer, K. R. Jeffrey, M. Vogel, Prog. Nucl. Magn. Reson. Spectrosc. 50 (2007) 87)."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

HIGHEST = jax.lax.Precision.HIGHEST
SQUARINGS = 64  # times up to 2⁶⁴ residence times

Part = Literal["sin", "cos"]


def stationary_populations(rates: Float[Array, "sites sites"]) -> Float[Array, " sites"]:
    """Populations p with p Q = 0 of sites that all exchange with each other, directly or over others.

    Args:
        rates: from site i to site j, 1/s; the diagonal does not matter.
    """
    generator, fastest = _generator(rates)
    normalised = (generator / fastest).T.at[-1].set(1.0)
    return jnp.linalg.solve(normalised, jnp.zeros(len(rates), dtype=rates.dtype).at[-1].set(1.0))


def two_time_echo(
    frequencies: Float[Array, "sites directions"],
    rates: Float[Array, "sites sites"],
    preparation: Float[Array, " preparations"],
    mixing: Float[Array, " mixings"],
    populations: Float[Array, " sites"] | None = None,
    part: Part = "sin",
) -> tuple[Float[Array, "preparations mixings"], Float[Array, " preparations"]]:
    """F₂(t_p, t_m) = ⟨sin(ω(0) t_p) sin(ω(t_m) t_p)⟩ of hopping ions, and its limit for long t_m, ⟨⟨sin(ω t_p)⟩²⟩: the
    inner mean over sites, the outer over directions.

    Args:
        frequencies: ω/2π of every site for every direction of the field, Hz.
        rates: from site i to site j, 1/s; the diagonal does not matter.
        preparation: t_p, s.
        mixing: t_m, s.
        populations: of the sites, stationary under the rates; None: `stationary_populations`.
        part: "sin", the alignment echo, or "cos", its counterpart of Zeeman order.
    """
    generator, fastest = _generator(rates)
    populations = stationary_populations(rates) if populations is None else populations
    equilibrium = jnp.broadcast_to(populations, rates.shape)
    function = jnp.sin if part == "sin" else jnp.cos
    waves = function(2.0 * np.pi * preparation[:, None, None] * frequencies[None])  # (preparations, sites, directions)
    count = frequencies.shape[1]
    pairs = jnp.einsum("i,pid,pjd->pij", populations, waves, waves, precision=HIGHEST) / count
    means = jnp.einsum("i,pid->pd", populations, waves, precision=HIGHEST)

    def at(time: Float[Array, ""]) -> Float[Array, " preparations"]:
        # The equilibrium is split off: what is left of the generator decays, and loses nothing when it is squared.
        decaying = jax.scipy.linalg.expm(time * (generator - fastest * equilibrium), max_squarings=SQUARINGS)
        moves = decaying - jnp.expm1(-fastest * time) * equilibrium
        return jnp.einsum("pij,ij->p", pairs, moves, precision=HIGHEST)

    return jax.lax.map(at, mixing).T, jnp.mean(means * means, axis=1)


def _generator(rates: Float[Array, "sites sites"]) -> tuple[Float[Array, "sites sites"], Float[Array, ""]]:
    """Q of dp/dt = p Q, and the fastest rate at which a site is left (1 where no site is)."""
    apart = rates * (1.0 - jnp.eye(len(rates), dtype=rates.dtype))
    leaving = jnp.sum(apart, axis=1)
    fastest = jnp.max(leaving)
    return apart - jnp.diag(leaving), jnp.where(fastest > 0.0, fastest, 1.0)
