"""Commands as one of several processes."""


def join_processes(quiet: bool) -> bool:
    """Join the other processes, before JAX computes anything.

    Whether this one shows no progress: the first alone does.
    """
    from efg_jax.parallel import initialise, rank

    initialise()
    return quiet or rank() > 0
