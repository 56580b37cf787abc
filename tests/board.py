"""A page of Streamlit that the tests serve."""

from __future__ import annotations

import os

import streamlit

streamlit.title(f"Board of {os.environ['OWNER']}")
streamlit.write(f"six times seven is {6 * 7}")
