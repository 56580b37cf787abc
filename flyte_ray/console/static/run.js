// run: owned by the pages
