"""Reading a dataset tree in LEGO-ARTA's layout."""
