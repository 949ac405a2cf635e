"""Settings of Sphinx; the build needs no network."""

from __future__ import annotations

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from linkedapi_async import __version__


project = "linkedapi-async"
author = "the linkedapi-async developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated",  # tables and lists made from the classes
    "crossrefs",  # links for the names in docstrings
]
exclude_patterns = ["_build", "pictures/*.py"]

# Names in single backticks, as the docstrings have them.
default_role = "py:obj"
nitpicky = True
keep_warnings = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_display_short_literal_types = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 72

html_theme = "furo"
html_title = f"linkedapi-async {release}"
html_static_path = ["_static"]
html_css_files = ["extra.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_theme_options = {
    "footer_icons": [],
    "light_css_variables": {
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fb8f0",
        "color-brand-content": "#7fb8f0",
    },
}
