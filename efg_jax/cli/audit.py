"""`efg-jax audit`."""

from typing import Annotated

from cyclopts import Parameter

from efg_jax.cli import options
from efg_jax.cli.outputs import check_outputs, print_results
from efg_jax.cli.progress import Progress, listed

STAGES = ("symmetry", "environments", "duplicates")


def audit(
    *data: options.Data,
    test: Annotated[tuple[str, ...] | None, Parameter(metavar="DATA", group=options.DATA)] = None,
    source: options.Tensors = options.TENSORS,
    seed: Annotated[int, Parameter(group=options.DATA)] = 0,
    json: options.File = None,
    quiet: options.Quiet = False,
) -> int:
    """Look for wrong labels before they are learned.

    Finds tensors that do not belong to their structures (turned, permuted, of another frame), wrong units and signs,
    mixed levels of theory, duplicates, structures that are in training and test, outliers, missing labels, asymmetric
    tensors, and sites that are occupied in part. Files and frames that cannot be read are findings as well.

    Exit status: 1 where a finding is an error, else 0.

    ```
    efg-jax audit silica-efg
    efg-jax audit train.extxyz --test test.extxyz --json findings.json
    ```

    Args:
        test: The test set; may be repeated. Structures that are in both sets are errors.
        seed: Of the random choices of the model that predicts each frame from the others.
        json: Also write the findings as JSON: file, frame, atom, kind, severity, evidence and remedy of each.
    """
    check_outputs({"--json": json}, inputs=[*data, *(test or ())])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.auditing.audit import audit as audit_of

        with progress.bar(f"auditing {listed(data)}", told="efg_jax.auditing") as bar:

            def tell(what: str, done: int, total: int) -> None:
                done += STAGES.index(what) * total
                bar.advance(what, total=len(STAGES) * total, reused=True, done=done)

            found = audit_of(data, test, arrays=source.array, index=source.index, seed=seed, progress=tell)
        if json is not None:
            found.to_json(json)
        progress.wrote(json)
    print_results(found)
    return found.exit_status
