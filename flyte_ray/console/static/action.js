// action: owned by the pages
