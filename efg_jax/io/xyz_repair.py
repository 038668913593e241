"""Extended XYZ that ASE does not read: what can be repaired, and what is wrong with the rest."""

import re
from pathlib import Path

from efg_jax.errors import InputError
from efg_jax.io.text_files import element, with_exponents

_PROPERTIES = re.compile(r"""\bProperties\s*=\s*["']?([^\s"']+)""")
DEFAULT = "species:S:1:pos:R:3"


def repaired_xyz(text: str, path: Path) -> tuple[str, dict[int, dict[int, float]]]:
    """The text with E exponents and with H for D and T, and the masses (u) of these by frame and atom.

    Only its heads, elements and numbers of columns are looked at: whether its numbers are numbers, ASE finds.

    Raises:
        InputError: a column's name has a colon, an atom is of no element, or a line has too few columns.
    """
    lines, at, frame, masses = with_exponents(text).split("\n"), 0, 0, {}
    while at + 1 < len(lines) and lines[at].strip().isdecimal():
        count = int(lines[at])
        column, columns = _columns(lines[at + 1], path, frame)
        for number, place in enumerate(range(at + 2, min(at + 2 + count, len(lines)))):
            words = lines[place].split()
            if words and len(words) < columns:
                raise InputError(
                    f"its line has {len(words)} columns, and the frame has {columns}; complete it",
                    file=str(path),
                    frame=frame,
                    atom=number,
                )
            if not words or column is None:
                continue
            try:
                symbol, mass = element(words[column])
            except InputError as error:
                raise InputError(str(error), file=str(path), frame=frame, atom=number) from error
            if mass is not None:
                lines[place] = " ".join([*words[:column], symbol, *words[column + 1 :]])
                masses.setdefault(frame, {})[number] = mass
        at, frame = at + 2 + count, frame + 1
    return "\n".join(lines), masses


def _columns(head: str, path: Path, frame: int) -> tuple[int | None, int]:
    """Number of the column with the elements, None where there are atomic numbers instead, and of all columns."""
    found = _PROPERTIES.search(head)
    properties = found[1] if found else DEFAULT
    if named := re.search(r"[\w.-]*::[\w.-]*", properties):
        name = named[0]
        raise InputError(
            f"the column '{name}' has '::' in its name, and in Properties= colons separate name, type and number of "
            f"columns; rename it, for example to {name.replace('::', '_')}",
            file=str(path),
            frame=frame,
        )
    fields, column, columns = properties.split(":"), None, 0
    for name, width in zip(fields[::3], fields[2::3], strict=False):
        column = columns if name == "species" else column
        columns += int(width) if width.isdecimal() else 1
    return column, columns
