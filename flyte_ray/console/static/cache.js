// cache: owned by the pages
