"""Settings of the documentation (`make docs`); nothing is fetched while it is built or read."""

import logging
import os
import sys
import tempfile
from pathlib import Path

import mirar_dask

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
# Matplotlib and astropy write into a home that may not be ours to write to.
os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "mirar-dask-docs-mpl"))

project = "mirar_dask"
author = "the mirar_dask developers"
release = version = mirar_dask.__version__
html_title = f"mirar_dask {release}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "drawings",
    "header_keys",
    "processor_pages",
]
exclude_patterns = ["_build", "_extensions", "**/.ipynb_checkpoints", "notebooks/*/**"]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext", ".ipynb": "myst-nb"}

# Notebooks are shown as they were run; the tests run them.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# Files outside `docs`, such as the benchmarks, are named, not linked.
suppress_warnings = ["misc.highlighting_failure"]

smartquotes = False  # options begin with two hyphens
default_role = "py:obj"
autodoc_typehints = "none"  # the docstrings say the types
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["mirar_dask.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5c8a", "color-brand-content": "#0b5c8a"},
    "dark_css_variables": {"color-brand-primary": "#7cc4ea", "color-brand-content": "#7cc4ea"},
}
html_copy_source = False
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

logging.getLogger("mirar_dask").setLevel(logging.WARNING)  # a night is planned for its picture
