"""Self-contained HTML pages, with all images and styles embedded."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipseg import __version__, files
from shipseg.extras import needing
from shipseg.number_formats import number, share

if TYPE_CHECKING:
    from shipseg.reports.figures import Figure

__all__ = ["drawing", "image_url", "write_page"]


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
