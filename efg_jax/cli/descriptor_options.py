"""Options of the environments of `efg-jax train`."""

from typing import Annotated, Literal

import typer

from efg_jax.cli.options import DESCRIPTOR

Cutoff = Annotated[
    float,
    typer.Option(metavar="Å", help="How far an atom sees; of a network, in each layer.", rich_help_panel=DESCRIPTOR),
]
CutoffWidth = Annotated[
    float,
    typer.Option(
        metavar="Å",
        help="Over which neighbours fade out before the cutoff; 0 is a hard step.",
        rich_help_panel=DESCRIPTOR,
    ),
]
Sigma = Annotated[
    float,
    typer.Option(metavar="Å", help="Width of the Gaussian that stands for an atom.", rich_help_panel=DESCRIPTOR),
]
NMax = Annotated[int, typer.Option(metavar="N", help="Number of radial functions.", rich_help_panel=DESCRIPTOR)]
LMax = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Highest angular momentum of the density; of a network, highest order of its features, 0 to 4. Without it 6, and 2 of a network.",
        rich_help_panel=DESCRIPTOR,
    ),
]
ScalingRate = Annotated[
    float,
    typer.Option(
        metavar="C",
        help="c of the weight c / (c + (r/r0)^m) of a neighbour at distance r.",
        rich_help_panel=DESCRIPTOR,
    ),
]
ScalingRadius = Annotated[float, typer.Option(metavar="Å", help="r0 of that weight.", rich_help_panel=DESCRIPTOR)]
ScalingExponent = Annotated[
    float, typer.Option(metavar="M", help="m of that weight; 0 switches it off.", rich_help_panel=DESCRIPTOR)
]
Normalise = Annotated[
    Literal["invariant", "environment", "none"],
    typer.Option(
        help="Divide features by the norm of the λ = 0 ones, each λ by its own norm (TENSOAP), or not at all.",
        rich_help_panel=DESCRIPTOR,
    ),
]
