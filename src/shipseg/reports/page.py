"""Self-contained HTML pages, with all images and styles embedded."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shipseg import __version__, files
from shipseg.extras import needing

if TYPE_CHECKING:
    from shipseg.reports.figures import Figure

__all__ = ["NONE", "drawing", "image_url", "number", "share", "write_page"]


# Numbers as text.

NONE: Final = "–"
"""What stands for a number that is not defined."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a score as text, or a dash where it is not defined."""
    return NONE if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """Return a share as text in percent, or a dash where it is not defined."""
    return NONE if value is None else f"{100 * value:.0f} %" if 0.1 <= value <= 0.9 else f"{100 * value:.1f} %"


with needing("train"):
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
    from markupsafe import Markup


def write_page(path: Path, template: str | Path, **values: Any) -> Path:
    """Write one self-contained HTML page atomically and return its path.

    Args:
        path: File to write.
        template: Name of a template in reports/templates, or path of one elsewhere; it extends base.html.
        values: Variables of the template; texts are escaped, `drawing` and `image_url` embed figures and images.

    Raises:
        StorageError: The file cannot be written.
    """
    own = [FileSystemLoader(template.parent)] if isinstance(template, Path) else []
    environment = Environment(
        loader=ChoiceLoader([*own, PackageLoader("shipseg.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "share": share}
    today = dt.datetime.now(dt.UTC).date().isoformat()
    page = environment.get_template(Path(template).name).render(**values, version=__version__, today=today)
    files.write_text(Path(path), page)
    return Path(path)


def image_url(jpeg: bytes) -> str:
    """Return a JPEG as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def drawing(figure: Figure) -> Markup:
    """Return a figure as an svg element; figures hold only numbers and texts of this package, no user input."""
    from shipseg.reports.figures import to_svg  # pages without figures do not need matplotlib

    return Markup(to_svg(figure))  # noqa: S704  (see above)
