"""Options are data: a field of a class, or an argument of a function, becomes an option of a command.

Default and help are those of the class or function, so that each is written once. They are read from the source text:
importing the classes would import JAX, and `--help` must not wait for it.
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, wraps
from inspect import Parameter as Argument
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Optional, TypeVar, Union, get_args

from cyclopts import Group, Parameter
from docstring_parser import DocstringStyle, parse

PACKAGE = Path(__file__).parents[1]
PLAIN = {"bool": bool, "int": int, "float": float, "str": str, "Path": Path, "None": NoneType}
METAVARS = {int: "N", float: "NUMBER"}
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Fields:
    """Fields of a class, or arguments of a function, that a command takes as options.

    Attributes:
        owner: the class, function or method, as "package.module:name".
        names: of the fields; with each what `cyclopts.Parameter` needs beyond help and panel, and as "type" what the
            option is where the source does not say it in plain types; an annotated type may have a help of its own.
        panel: of the help page.
        label: name of the owner in the help of an option that has several owners: "networks".
    """

    owner: str
    names: Mapping[str, Mapping[str, Any]]
    panel: Group
    label: str = ""

    def option(self, name: str) -> str:
        """The option of a field as it is written on the command line."""
        declared = self.names[name].get("name") or _declared(self.names[name].get("type")).get("name")
        return option_name(name, declared)


class Given(dict):
    """Values of the options that are on the command line, by field; what is not there has the default of its owner."""

    def of(self, group: Fields) -> dict[str, Any]:
        """Those of one owner, as keyword arguments."""
        return {name: self[name] for name in group.names if name in self}

    def build(self, owner: type[Made], **others: Any) -> Made:
        """An object of what was given; fields that are dataclasses themselves are built in the same way.

        Args:
            owner: a dataclass.
            others: values that win; they do not reach the objects within.
        """
        values: dict[str, Any] = {}
        for field in fields(owner):
            if field.name in self:
                values[field.name] = self[field.name]
            elif is_dataclass(field.default):
                values[field.name] = self.build(type(field.default))
            elif is_dataclass(field.default_factory):
                values[field.name] = self.build(field.default_factory)
        return owner(**values | others)


def takes(*groups: Fields) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    """Give a command the fields as options; it receives those that were given as ``given``, a `Given`."""

    def decorated(command: Callable[..., Made]) -> Callable[..., Made]:
        own = dict(signature(command, eval_str=True).parameters)
        del own["given"]
        names = dict.fromkeys(name for group in groups for name in group.names)
        added = [_option(name, [group for group in groups if name in group.names]) for name in names]

        @wraps(command)
        def run(*values: Any, **named: Any) -> Made:  # cyclopts passes what was given, and nothing else
            given = Given({name: named.pop(name) for name in list(named) if name not in own})
            given.pop("moments", None)  # has had its effect
            return command(*values, **named, given=given)

        run.__signature__ = signature(command).replace(parameters=[*own.values(), *added])
        run.__annotations__ = {name: parameter.annotation for name, parameter in run.__signature__.parameters.items()}
        return run

    return decorated


def option_name(name: str, declared: str | Sequence[str] | None = None) -> str:
    """A parameter's name as an option: "log_file" → "--log-file", or the name that was declared for it."""
    if declared is None:
        return f"--{name.replace('_', '-')}"
    return declared if isinstance(declared, str) else declared[0]


def literal(module: str, name: str) -> Any:
    """A constant of a module, read without importing it."""
    for node in _parsed(module).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return ast.literal_eval(node.value)
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            return literal(node.module, name)
    raise LookupError(f"{module} has no constant {name}")


def help_of(module: str, function: str) -> str:
    """The docstring of a function without its Args, one line a paragraph."""
    text = ast.get_docstring(_found(module, function)).split("\n\nArgs:")[0]
    return "\n\n".join(part if part.startswith("```") else " ".join(part.split()) for part in text.split("\n\n"))


def _option(name: str, groups: Sequence[Fields]) -> Argument:
    """One option for all owners of the field."""
    first, *others = groups
    read = [_entries(group.owner)[name] for group in groups]
    annotation, default, text = read[0]
    settings = dict(first.names[name])
    hint = settings.pop("type", None) or _plain(annotation)
    if hint is None:
        raise TypeError(f"{name} of {first.owner} has no plain type; give one as 'type'")
    texts = [
        text,
        *(f"{group.label.capitalize()}: {more}" for group, (_, _, more) in zip(others, read[1:], strict=True)),
    ]
    defaults = [value for _, value, _ in read]
    if any(value != default for value in defaults):
        labelled = [f"{group.label}: {value}" for group, value in zip(others, defaults[1:], strict=True)]
        settings.setdefault("show_default", ", ".join([str(default), *labelled]))
    if default is None:  # an annotated type keeps what it says
        plain, *said = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        hint = Annotated[Optional[plain], *said] if said else Optional[plain]  # noqa: UP045
    found = {"help": " ".join(texts), "metavar": METAVARS.get(_number_of(hint)), "group": first.panel}
    settings = {name: value for name, value in found.items() if value and name not in _declared(hint)} | settings
    return Argument(
        name,
        Argument.KEYWORD_ONLY,
        default=Argument.empty if default is MISSING else default,
        annotation=Annotated[hint, Parameter(**settings)],
    )


def _declared(hint: Any) -> dict[str, Any]:
    """What an annotated type says already."""
    found = [entry for entry in getattr(hint, "__metadata__", ()) if isinstance(entry, Parameter)]
    values = [(name, getattr(entry, name)) for entry in found for name in ("help", "name", "metavar", "group")]
    return {name: value for name, value in values if value}


def _number_of(hint: Any) -> Any:
    """The type itself, or the other one in a union with None."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    return parts[0] if len(parts) == 1 else hint


def _plain(hint: ast.expr) -> Any:
    """The type of an option: an array is a number on the command line; of a union the plain parts remain."""
    if isinstance(hint, ast.BinOp):
        parts = [part for part in (_plain(hint.left), _plain(hint.right)) if part is not None]
        ordered = tuple(sorted(dict.fromkeys(parts), key=lambda part: part is NoneType))
        return Union[ordered] if parts else None  # noqa: UP007
    if isinstance(hint, ast.Subscript) and ast.unparse(hint.value) == "Literal":
        return Literal[ast.literal_eval(hint.slice)]
    if isinstance(hint, ast.Subscript) and ast.unparse(hint.value) in ("Float", "Int"):
        return float if ast.unparse(hint.value) == "Float" else int
    return PLAIN.get(ast.unparse(hint))


@cache
def _entries(owner: str) -> dict[str, tuple[ast.expr, Any, str]]:
    """Annotation, default and text by field; "nmax, lmax: ..." in a docstring is the text of both."""
    found = _found(*owner.split(":"))
    texts = {
        name.strip(): parameter.description or ""
        for parameter in parse(ast.get_docstring(found) or "", DocstringStyle.GOOGLE).params
        for name in parameter.arg_name.split(",")
    }
    if isinstance(found, ast.ClassDef):
        nodes = [
            (node.target.id, node.annotation, node.value) for node in found.body if isinstance(node, ast.AnnAssign)
        ]
    else:
        arguments = found.args
        defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults + arguments.kw_defaults
        both = zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True)
        nodes = [(argument.arg, argument.annotation, value) for argument, value in both]
    module = owner.split(":")[0]
    read = [(name, hint, _default(value, module)) for name, hint, value in nodes if name in texts]
    return {name: (hint, default, text_of(texts[name], default)) for name, hint, default in read}


def text_of(entry: str, default: Any) -> str:
    """An entry of a docstring as a sentence of a help page: "elements; None: all" → "Elements; by default all"."""
    text = " ".join(entry.split()).replace("``", "`")
    if default is None:
        text = re.sub(r"(^|[.] )None:", r"\1By default", text).replace("None:", "by default")
    text = text.replace("None:", "none:")
    return re.sub(r"^[a-z]{2,}\b(?![_.(])", lambda word: word[0].capitalize(), text)


def _default(value: ast.expr | None, module: str) -> Any:
    """The literal or constant after the equals sign, or that of ``field(default=...)``.

    `MISSING` where there is none.
    """
    if isinstance(value, ast.Call):
        value = {keyword.arg: keyword.value for keyword in value.keywords}.get("default")
    if value is None:
        return MISSING
    if isinstance(value, ast.Name):
        return literal(module, value.id)
    try:
        return ast.literal_eval(value)
    except ValueError:  # an object: no option has it as its default
        return MISSING


def _found(module: str, name: str) -> Any:
    """The class or function of that name, or the method "Class.method"."""
    found: Any = _parsed(module)
    for part in name.split("."):
        nodes = [node for node in found.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part]
        if not nodes:
            raise LookupError(f"{module} has no class or function {name}")
        found = nodes[0]
    return found


@cache
def _parsed(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))
