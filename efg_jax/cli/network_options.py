"""Options of networks, of `efg-jax train` and `efg-jax learning-curve`, and what their texts mean."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from efg_jax.cli.options import OUTPUT

NETWORKS = "Networks"

LayerCutoff = Annotated[
    float, typer.Option(metavar="Å", help="How far an atom hears in each layer.", rich_help_panel=NETWORKS)
]
FeatureOrder = Annotated[
    int, typer.Option(metavar="N", help="Highest order of features, 0 to 4.", rich_help_panel=NETWORKS)
]
Layers = Annotated[int, typer.Option(metavar="N", help="Rounds of messages, 1 to 4.", rich_help_panel=NETWORKS)]
Channels = Annotated[
    int, typer.Option(metavar="N", help="Features of each order and parity.", rich_help_panel=NETWORKS)
]
Decomposition = Annotated[
    Literal["irreps", "products"],
    typer.Option(
        help="How tensors are made of features: each part from features that turn as it does, or all from products of tensors.",
        rich_help_panel=NETWORKS,
    ),
]
ProductOrder = Annotated[
    int, typer.Option(metavar="N", help="Order of the tensors that are multiplied.", rich_help_panel=NETWORKS)
]
Products = Annotated[
    int,
    typer.Option(metavar="N²", help="Number of products that are summed: 1, 64, 4096.", rich_help_panel=NETWORKS),
]
Epochs = Annotated[
    int, typer.Option(metavar="N", help="Passes through the training set, at most.", rich_help_panel=NETWORKS)
]
Steps = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Pass as often through a small training set as it takes to make this many steps.",
        rich_help_panel=NETWORKS,
    ),
]
LearningRate = Annotated[
    float, typer.Option(metavar="NUMBER", help="Highest step of the optimiser (AdamW).", rich_help_panel=NETWORKS)
]
BatchEdges = Annotated[
    int, typer.Option(metavar="N", help="Pairs of neighbours in a batch, about.", rich_help_panel=NETWORKS)
]
Validation = Annotated[
    float,
    typer.Option(
        metavar="PART",
        help="Part of the training structures that is not trained on, but decides which weights are kept.",
        rich_help_panel=NETWORKS,
    ),
]
Patience = Annotated[
    int,
    typer.Option(
        metavar="N", help="Epochs without a better validation after which training ends.", rich_help_panel=NETWORKS
    ),
]
Members = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Train a committee of networks that differ in their seed; their spread says how sure they are.",
        rich_help_panel=NETWORKS,
    ),
]
LossKind = Annotated[
    Literal["irreps", "observables"],
    typer.Option(
        help="Minimise the squared error of the irreducible parts; or, of an EFG, that and the errors of C̃_Q, η̃ and the axes.",
        rich_help_panel=NETWORKS,
    ),
]
FromModel = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Fine-tune a network that was trained before, with these data; --target may be a new one.",
        rich_help_panel=NETWORKS,
    ),
]
Freeze = Annotated[
    bool,
    typer.Option(
        "--freeze", help="With --from: train the last map of each target only, and no layer.", rich_help_panel=NETWORKS
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Write losses and errors by epoch as CSV.",
        rich_help_panel=OUTPUT,
    ),
]
